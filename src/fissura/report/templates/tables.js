(() => {
  const valueOf = cell => {
    const raw = cell.dataset.v !== undefined ? cell.dataset.v : cell.textContent.trim();
    const number = Number(raw);
    return raw === '' || raw === '–' ? null : Number.isNaN(number) ? raw : number;
  };
  const compare = (a, b) => typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), 'en', {numeric: true});

  // -- sorting by a click on a header; what is not known stays last
  for (const table of document.querySelectorAll('table.sortable')) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, k) => {
      const button = document.createElement('button');
      button.type = 'button'; button.className = 'sort';
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener('click', () => {
        const first = head.classList.contains('num') ? 'descending' : 'ascending';
        const other = first === 'ascending' ? 'descending' : 'ascending';
        const order = head.getAttribute('aria-sort') === first ? other : first;
        for (const h of heads) h.removeAttribute('aria-sort');
        head.setAttribute('aria-sort', order);
        const sign = order === 'ascending' ? 1 : -1, body = table.tBodies[0];
        const rows = [...body.rows].map(row => [valueOf(row.cells[k]), row]);
        rows.sort((a, b) => a[0] === null ? (b[0] === null ? 0 : 1) : b[0] === null ? -1 : sign * compare(a[0], b[0]));
        body.append(...rows.map(pair => pair[1]));
      });
    });
  }

  // -- copying: tab-separated, plain numbers, only the rows that are shown
  const asText = table => [...table.rows].filter(row => !row.hidden).map(row => [...row.cells].map(cell => {
    const raw = cell.dataset.t !== undefined ? cell.dataset.t : cell.tagName === 'TD' && cell.dataset.v !== undefined ? cell.dataset.v : cell.textContent;
    return raw.trim().replace(/\s+/g, ' ');
  }).join('\t')).join('\n');
  const copyOld = text => {
    const area = document.createElement('textarea');
    area.value = text; document.body.append(area); area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  };
  document.addEventListener('click', async event => {
    const button = event.target.closest('.copy');
    if (!button) return;
    const text = asText(button.closest('table'));
    let done = true;
    try { await navigator.clipboard.writeText(text); } catch { done = copyOld(text); }
    button.textContent = done ? 'Copied' : 'Select and copy by hand';
    setTimeout(() => { button.textContent = 'Copy'; }, 1800);
  });

  // -- filters
  const form = document.getElementById('crack-filters');
  if (form) {
    const rows = [...document.getElementById('crack-table').tBodies[0].rows], count = document.getElementById('crack-count');
    const filter = () => {
      const kind = form.elements.class.value, severity = form.elements.severity ? form.elements.severity.value : '';
      const least = form.elements.width.value === '' ? null : Number(form.elements.width.value);
      let shown = 0;
      for (const row of rows) {
        const d = row.dataset;
        row.hidden = Boolean((kind && d.class !== kind) || (severity && d.severity !== severity)
          || (least !== null && !(d.width !== '' && Number(d.width) >= least)));
        if (!row.hidden) shown++;
      }
      count.textContent = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
    };
    form.addEventListener('input', filter);
    form.addEventListener('submit', event => event.preventDefault());
    filter();
  }

  // -- from tables and cards to the map
  document.addEventListener('click', event => {
    if (event.target.closest('a, select, input, .copy, .sort') || String(getSelection())) return;
    const crack = event.target.closest('.show, tr[data-id]'), section = event.target.closest('tr[data-section]');
    if (crack && report.show) report.show(crack.dataset.id);
    else if (section && report.section) report.section(section.dataset.section);
  });

  // -- where the reader is
  const links = new Map([...document.querySelectorAll('nav a')].map(a => [a.hash.slice(1), a]));
  const seen = new IntersectionObserver(entries => {
    for (const entry of entries) if (entry.isIntersecting) {
      for (const a of links.values()) a.removeAttribute('aria-current');
      links.get(entry.target.id).setAttribute('aria-current', 'true');
    }
  }, {rootMargin: '-15% 0px -75% 0px'});
  for (const id of links.keys()) seen.observe(document.getElementById(id));
})();
