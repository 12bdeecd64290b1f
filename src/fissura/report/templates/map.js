'use strict';
document.documentElement.classList.add('js');
const report = (() => {
  const data = JSON.parse(document.getElementById('crack-data').textContent);
  const column = Object.fromEntries(data.columns.map((name, k) => [name, k]));
  const rowOf = new Map(data.rows.map(row => [String(row[column.id]), row]));
  const field = (row, name) => {
    const k = column[name], value = k === undefined ? null : row[k];
    return value !== null && data.texts[k] && typeof value === 'number' ? data.texts[k][value] : value;
  };
  const significant = (value, digits) => {
    if (value === 0) return '0';
    const after = Math.min(Math.max(digits - 1 - Math.floor(Math.log10(Math.abs(value))), 0), 6);
    const [whole, part] = Math.abs(value).toFixed(after).split('.');
    return (value < 0 ? '−' : '') + whole.replace(/\B(?=(\d{3})+$)/g, '\u2009') + (part ? '.' + part : '');
  };
  const words = (row, name) => {
    const value = field(row, name);
    if (value === null || value === '') return '';
    if (name === 'confidence' || name === 'bridged_share') return Math.round(100 * value) + '\u00a0%';
    if (typeof value !== 'number' || name === 'id') return String(value);
    const unit = data.units[name] || '';
    return unit === '°' ? Math.round(value) + '°' : significant(value, 3) + (unit ? '\u00a0' + unit : '');
  };
  const pick = (row, ...names) => names.map(name => words(row, name)).find(Boolean) || '';
  return {data, rowOf, field, words, pick, show: null, section: null};
})();

(() => {
  const svg = document.getElementById('map-svg');
  if (!svg) return;
  const box = document.getElementById('map-box'), tip = document.getElementById('map-tip');
  const bar = document.getElementById('map-bar'), details = document.getElementById('map-details');
  const mark = document.getElementById('map-selected'), unitM = Number(box.dataset.unitM);
  const base = svg.viewBox.baseVal, all = {x: 0, y: 0, w: base.width, h: base.height};
  const thin = parseFloat(svg.style.getPropertyValue('--thin'));
  let view = {...all}, pending = 0, flight = 0, line = thin;
  const pins = [...svg.querySelectorAll('.pin')], patterns = [...svg.querySelectorAll('.pattern')];

  // -- cracks: parsed from the paths that are drawn, and sorted into a grid to be found under the pointer
  const cracks = new Map(), cell = all.w / 160, grid = new Map();
  for (const path of svg.querySelectorAll('.crack')) {
    const parts = path.getAttribute('d').split('M').slice(1);
    path.dataset.ids.split(',').forEach((id, k) => {
      const [start, steps] = parts[k].split('l');
      let [x, y] = start.split(' ').map(Number);
      const points = [x, y], numbers = steps.match(/-?\d+/g).map(Number);
      let x0 = x, x1 = x, y0 = y, y1 = y;
      for (let i = 0; i < numbers.length; i += 2) {
        x += numbers[i]; y += numbers[i + 1]; points.push(x, y);
        x0 = Math.min(x0, x); x1 = Math.max(x1, x); y0 = Math.min(y0, y); y1 = Math.max(y1, y);
      }
      const crack = {id, points, d: 'M' + parts[k], x: x0, y: y0, w: x1 - x0, h: y1 - y0};
      cracks.set(id, crack);
      for (let i = Math.floor(x0 / cell); i <= Math.floor(x1 / cell); i++)
        for (let j = Math.floor(y0 / cell); j <= Math.floor(y1 / cell); j++) {
          const key = i * 100003 + j;
          if (grid.has(key)) grid.get(key).push(crack); else grid.set(key, [crack]);
        }
    });
  }
  const distance2 = (p, x, y) => {
    let best = Infinity;
    for (let i = 2; i < p.length; i += 2) {
      const ax = p[i - 2], ay = p[i - 1], dx = p[i] - ax, dy = p[i + 1] - ay, l = dx * dx + dy * dy;
      const t = l ? Math.min(Math.max(((x - ax) * dx + (y - ay) * dy) / l, 0), 1) : 0;
      best = Math.min(best, (ax + t * dx - x) ** 2 + (ay + t * dy - y) ** 2);
    }
    return best;
  };
  const nearest = (x, y, radius) => {
    let found = null, least = radius * radius;
    for (let i = Math.floor((x - radius) / cell); i <= Math.floor((x + radius) / cell); i++)
      for (let j = Math.floor((y - radius) / cell); j <= Math.floor((y + radius) / cell); j++)
        for (const crack of grid.get(i * 100003 + j) || []) {
          const d = distance2(crack.points, x, y);
          if (d < least) { least = d; found = crack; }
        }
    return found;
  };

  // -- view
  const apply = (perUnit, sign = 1) => {
    pending = 0;
    svg.setAttribute('viewBox', [view.x, view.y, view.w, view.h].map(v => Math.round(v * 100) / 100).join(' '));
    const size = perUnit || Math.min(svg.clientWidth / view.w, svg.clientHeight / view.h), u = sign / size;
    if (!Number.isFinite(u)) return;
    for (const pin of pins) pin.setAttribute('transform', `translate(${pin.dataset.x} ${pin.dataset.y}) scale(${u})`);
    for (const p of patterns) p.setAttribute('patternTransform', `scale(${u}) rotate(${p.dataset.turn})`);
    // Many cracks are drawn finer as long as they lie close together.
    const wanted = Math.min(2.4, Math.round(5 * thin * Math.sqrt(all.w / view.w)) / 5);
    if (wanted !== line) svg.style.setProperty('--thin', (line = wanted) + 'px');
    const room = Math.min(150, svg.clientWidth / 3) * u * unitM, power = 10 ** Math.floor(Math.log10(room));
    const length = [5, 2, 1].find(s => s * power <= room) * power;
    const [factor, unit] = length >= 1000 ? [0.001, 'km'] : length >= 1 ? [1, 'm'] : length >= 0.01 ? [100, 'cm'] : [1000, 'mm'];
    bar.firstElementChild.textContent = Number((length * factor).toPrecision(3)) + '\u00a0' + unit;
    bar.lastElementChild.style.width = length / unitM * size + 'px';
    svg.style.touchAction = view.w < all.w * 0.995 ? 'none' : 'pan-y';
  };
  let settle = 0;
  const rest = () => svg.classList.remove('moving');
  const draw = () => {
    if (cracks.size > 1500) {  // without outlines while it moves: half the work
      svg.classList.add('moving');
      clearTimeout(settle); settle = setTimeout(rest, 180);
    }
    if (!pending) pending = requestAnimationFrame(() => apply());
  };
  const limit = v => {
    const w = Math.min(Math.max(v.w, 0.04 / unitM), all.w), h = w * all.h / all.w;
    const x = v.x + (v.w - w) / 2, y = v.y + (v.h - h) / 2;
    return {x: Math.min(Math.max(x, all.x - w / 2), all.x + all.w - w / 2), y: Math.min(Math.max(y, all.y - h / 2), all.y + all.h - h / 2), w, h};
  };
  const set = v => { cancelAnimationFrame(flight); view = v.w >= all.w * 0.999 ? {...all} : limit(v); draw(); };
  const fly = target => {
    cancelAnimationFrame(flight);
    if (matchMedia('(prefers-reduced-motion: reduce)').matches) { set(target); return; }
    const from = {...view}, to = limit(target), start = performance.now();
    const step = now => {
      const t = Math.min(Math.max((now - start) / 260, 0), 1), s = t * t * (3 - 2 * t);
      view = Object.fromEntries(['x', 'y', 'w', 'h'].map(k => [k, from[k] + (to[k] - from[k]) * s]));
      apply();
      if (t < 1) flight = requestAnimationFrame(step);
    };
    flight = requestAnimationFrame(step);
  };
  const zoom = (factor, x, y) => {
    const w = Math.min(Math.max(view.w * factor, 0.04 / unitM), all.w), f = w / view.w;
    set({x: x - (x - view.x) * f, y: y - (y - view.y) * f, w, h: view.h * f});
  };
  const place = event => new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const perPixel = () => 1 / svg.getScreenCTM().a;
  const fit = b => {
    const w = Math.max(b.w * 2.2, b.h * 1.8 * all.w / all.h, 1.2 / unitM), h = w * all.h / all.w;
    // The panel of details lies over the right part of a wide map.
    const covered = details.hidden || details.offsetWidth > svg.clientWidth / 2 ? 0 : details.offsetWidth / svg.clientWidth;
    fly({x: b.x + b.w / 2 - w * (1 - covered) / 2, y: b.y + b.h / 2 - h / 2, w, h});
  };

  // -- the selected crack
  const element = (name, text, parent) => { const e = document.createElement(name); if (text) e.textContent = text; if (parent) parent.append(e); return e; };
  const link = (text, href, parent) => { const a = element('a', text, parent); a.href = href; return a; };
  const select = id => {
    const crack = cracks.get(id), row = report.rowOf.get(id);
    for (const on of document.querySelectorAll('tr.on, .card.on')) on.classList.remove('on');
    mark.setAttribute('d', crack ? crack.d : '');
    details.hidden = !crack;
    details.replaceChildren();
    if (!crack) return;
    const line = document.getElementById('crack-' + id), card = document.getElementById('worst-' + id);
    if (line) line.classList.add('on');
    if (card) card.classList.add('on');
    element('h3', row ? `Branch ${id}, ${report.field(row, 'class')}` : `Branch ${id}`, details);
    const close = element('button', '×', details);
    close.type = 'button'; close.className = 'close'; close.setAttribute('aria-label', 'Close');
    close.addEventListener('click', () => { select(null); svg.focus({preventScroll: true}); });
    const goto = element('p', '', details); goto.className = 'goto';
    if (line) link('Row', '#crack-' + id, goto).addEventListener('click', () => { line.hidden = false; });
    if (card) link('Picture', '#worst-' + id, goto);
    if (!row) { element('p', 'Its fields are in cracks.csv.', details); return; }
    const frame = report.data.frames[report.field(row, 'source_frame')];
    if (frame) link('Frame with its cracks', frame, goto);
    const list = element('dl', '', details);
    for (const name of report.data.columns) {
      const text = name === 'id' || name === 'class' ? '' : report.words(row, name);
      if (text) { element('dt', report.data.names[name], list); element('dd', text, list); }
    }
  };
  report.show = id => {
    const crack = cracks.get(String(id));
    if (!crack) return;
    select(String(id)); fit(crack);
    svg.scrollIntoView({block: 'center'});
  };
  report.section = key => {
    const path = svg.querySelector(`.section[data-section="${key}"]`);
    if (!path) return;
    for (const on of svg.querySelectorAll('.section.on')) on.classList.remove('on');
    path.classList.add('on');
    const b = path.getBBox();
    fit({x: b.x, y: b.y, w: b.width, h: b.height});
    svg.scrollIntoView({block: 'center'});
  };

  // -- pointer: one finger or button pans, two zoom, a click selects
  const pointers = new Map();
  let moved = 0, spread = 0;
  const hit = event => {
    const pin = event.target.closest && event.target.closest('.worst-pin');
    if (pin && pin.dataset.id) return cracks.get(pin.dataset.id) || null;
    const p = place(event);
    return nearest(p.x, p.y, (event.pointerType === 'touch' ? 16 : 8) * perPixel());
  };
  const hover = event => {
    const crack = event.pointerType === 'touch' ? null : hit(event);
    svg.classList.toggle('over', Boolean(crack));
    tip.hidden = !crack;
    if (!crack) return;
    const row = report.rowOf.get(crack.id);
    tip.textContent = row ? [`Branch ${crack.id}`, report.field(row, 'class'), report.pick(row, 'length_m', 'length_px'),
      `${report.pick(row, 'width_mean_mm', 'width_mean_px')} ± ${report.pick(row, 'width_sigma_mm', 'width_sigma_px')}`,
      report.field(row, 'severity')].filter(Boolean).join(' · ') : `Branch ${crack.id}`;
    const r = svg.getBoundingClientRect(), x = event.clientX - r.left, y = event.clientY - r.top;
    tip.style.left = Math.max(Math.min(x + 14, r.width - tip.offsetWidth - 6), 4) + 'px';
    tip.style.top = (y > r.height - 44 ? y - 34 : y + 16) + 'px';
  };
  svg.addEventListener('pointerdown', event => {
    if (event.button) return;
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    moved = pointers.size > 1 ? 99 : 0; spread = 0; tip.hidden = true;
  });
  svg.addEventListener('pointermove', event => {
    const before = pointers.get(event.pointerId);
    if (!before) { hover(event); return; }
    const dx = event.clientX - before[0], dy = event.clientY - before[1];
    moved += Math.abs(dx) + Math.abs(dy);
    if (moved < 4) return;
    if (!svg.hasPointerCapture(event.pointerId)) svg.setPointerCapture(event.pointerId);
    svg.classList.add('drag');
    pointers.set(event.pointerId, [event.clientX, event.clientY]);
    const k = 1 / Math.min(svg.clientWidth / view.w, svg.clientHeight / view.h) / pointers.size;
    set({...view, x: view.x - dx * k, y: view.y - dy * k});
    if (pointers.size === 2) {
      const [a, b] = [...pointers.values()], now = Math.hypot(a[0] - b[0], a[1] - b[1]);
      const p = place({clientX: (a[0] + b[0]) / 2, clientY: (a[1] + b[1]) / 2});
      if (spread && now) zoom(spread / now, p.x, p.y);
      spread = now;
    }
  });
  const release = event => {
    if (!pointers.delete(event.pointerId)) return;
    svg.classList.remove('drag'); spread = 0;
    if (event.type === 'pointerup' && moved < 4) { const crack = hit(event); select(crack ? crack.id : null); }
  };
  svg.addEventListener('pointerup', release);
  svg.addEventListener('pointercancel', release);
  svg.addEventListener('pointerleave', () => { tip.hidden = true; });

  // The wheel zooms, but a reader who scrolls past the map shall not be caught by it.
  let scrolled = -1e9;
  addEventListener('scroll', () => { scrolled = performance.now(); }, {passive: true});
  svg.addEventListener('wheel', event => {
    const out = event.deltaY > 0;
    if (!event.ctrlKey && (performance.now() - scrolled < 250 || (out && view.w >= all.w * 0.999))) return;
    event.preventDefault(); tip.hidden = true;
    const p = place(event), delta = event.deltaY * (event.deltaMode === 1 ? 33 : 1);
    zoom(Math.exp(Math.min(Math.max(delta, -240), 240) * (event.ctrlKey ? 0.01 : 0.0022)), p.x, p.y);
  }, {passive: false});
  svg.addEventListener('keydown', event => {
    const step = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
    const cx = view.x + view.w / 2, cy = view.y + view.h / 2;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step) set({...view, x: view.x + step[0] * view.w / 8, y: view.y + step[1] * view.h / 8});
    else if (event.key === '+' || event.key === '=') zoom(1 / 1.5, cx, cy);
    else if (event.key === '-') zoom(1.5, cx, cy);
    else if (event.key === '0') fly(all);
    else if (event.key === 'Escape') select(null);
    else return;
    event.preventDefault();
  });
  const grow = on => {
    box.classList.toggle('large', on);
    box.querySelector('[data-zoom=large]').setAttribute('aria-pressed', String(on));
    document.body.style.overflow = on ? 'hidden' : '';
    apply();
  };
  addEventListener('keydown', event => { if (event.key === 'Escape' && box.classList.contains('large')) grow(false); });
  box.addEventListener('click', event => {
    const button = event.target.closest('button'), action = button && button.dataset.zoom;
    if (action === 'in' || action === 'out') zoom(action === 'in' ? 1 / 1.6 : 1.6, view.x + view.w / 2, view.y + view.h / 2);
    else if (action === 'all') fly(all);
    else if (action === 'large') grow(!box.classList.contains('large'));
    else if (button && button.dataset.mode) {
      box.classList.remove('by-severity', 'by-width', 'by-class');
      box.classList.add('by-' + button.dataset.mode);
      for (const b of box.querySelectorAll('[data-mode]')) b.setAttribute('aria-pressed', String(b === button));
    }
  });
  box.addEventListener('change', event => {
    const layer = event.target.dataset.layer;
    if (layer) for (const g of svg.querySelectorAll('.l-' + layer)) g.style.display = event.target.checked ? '' : 'none';
  });
  let kept = null;
  addEventListener('beforeprint', () => { kept = view; grow(false); rest(); view = {...all}; apply(Math.min(690 / all.w, 620 / all.h), 0.82); });
  addEventListener('afterprint', () => { if (kept) { view = kept; kept = null; apply(); } });
  new ResizeObserver(() => { if (!kept) draw(); }).observe(svg);
  apply();
})();
