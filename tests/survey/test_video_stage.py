"""Videos of a run: when one counts as finished, what is taken from an earlier try, what its frames are called."""

import os
import shutil
import signal
from dataclasses import replace

import pytest

from fissura.infer.segmenter import load_segmenter
from fissura.survey import video_stage
from fissura.survey.request import SurveyRequest, describe_settings
from fissura.survey.run import find_inputs
from fissura.survey.run_folder import RunFolder
from fissura.synth.aerial import AerialCamera, WorldOptions, make_world
from fissura.synth.aerial.video import write_flight
from support.remux import FRAGMENTED, remux


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Six frames over one place of a road and six over another, with subtitles in them and beside them."""
    path = tmp_path_factory.mktemp("film") / "flight.mp4"
    options = WorldOptions(extent_m=(12.0, 30.0), road_width_m=5.0, vehicles=0.0, trees=0.0, houses=0.0, markings=False)
    world = make_world(12, options)
    camera = AerialCamera(6.0, 0.0, 8.0, focal_px=320.0, image_hw=(180, 320))
    cameras = [replace(camera, y_m=y + 0.2 * k) for y in (4.0, 22.0) for k in range(6)]
    write_flight(path, world, cameras, fps=3.0, bitrate_mbps=4.0, sidecar=True)
    return path


@pytest.fixture(scope="module")
def segmenter(tiny_onnx):
    return load_segmenter(str(tiny_onnx), threads=1, threshold=0.97)


def survey(source, out, segmenter, **options):
    """The only video of a source, without the report of the run."""
    request = SurveyRequest((str(source),), out, whole_frame=True, scale=0.5, quiet=True, **options)
    folder = RunFolder(out, describe_settings(request, segmenter), request.options())
    folder.open(overwrite=False)
    (video,) = find_inputs(request).videos
    return video_stage.survey_video(request, *video, folder, segmenter, None)


def looks_and_lines(out):
    return [p.name for p in out.glob("work/videos/*/looks_*")], (out / "manifest.jsonl").read_text().count("\n")


def test_what_the_network_said_of_another_video_of_that_name_is_not_taken(film, tmp_path, segmenter, monkeypatch):
    def killed(run, result):
        raise KeyboardInterrupt

    shutil.copy(film, tmp_path / "flight.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(video_stage, "_report", killed)
        for _ in range(2):  # the second time nothing is new
            with pytest.raises(KeyboardInterrupt):
                survey(tmp_path / "flight.mp4", tmp_path / "run", segmenter)
        (first,), lines = looks_and_lines(tmp_path / "run")
        os.utime(tmp_path / "flight.mp4", (1, 1))
        with pytest.raises(KeyboardInterrupt):
            survey(tmp_path / "flight.mp4", tmp_path / "run", segmenter)
    (second,), now = looks_and_lines(tmp_path / "run")
    assert second != first and now == 2 * lines > 0
    assert survey(tmp_path / "flight.mp4", tmp_path / "run", segmenter).complete
    assert looks_and_lines(tmp_path / "run") == ([], now)


def test_nothing_is_remembered_of_what_is_no_file(tmp_path):
    source = "https://example.org/flight.mp4"
    request = SurveyRequest((source,), tmp_path)
    run = video_stage.VideoRun(
        request, source, "stream_1", "flight.mp4", "abc", RunFolder(tmp_path, {}, {}), *[None] * 5, []
    )
    assert run.memory is None


def test_subtitles_that_come_later_are_used(film, tmp_path, segmenter, monkeypatch):
    video, beside = shutil.copy(film, tmp_path / "flight.mp4"), tmp_path / "flight.srt"
    assert not any("flight.srt" in note for note in survey(video, tmp_path / "run", segmenter).notes)
    shutil.copy(film.with_suffix(".SRT"), beside)
    assert any("flight.srt" in note for note in survey(video, tmp_path / "run", segmenter).notes)
    monkeypatch.delattr(video_stage, "open_video")
    assert survey(video, tmp_path / "run", segmenter).complete
    beside.write_text(beside.read_text().replace("[rel_alt: 8.", "[rel_alt: 9."))
    with pytest.raises(NameError, match="open_video"):
        survey(video, tmp_path / "run", segmenter)


@pytest.mark.parametrize("beside", [True, False])
def test_the_telemetry_offset_counts_for_subtitles_of_the_video_itself(film, tmp_path, beside):
    video = shutil.copy(film, tmp_path / "flight.mp4")
    if beside:
        shutil.copy(film.with_suffix(".SRT"), tmp_path)
    plain, late = (
        video_stage._find_telemetry(SurveyRequest((str(video),), tmp_path, telemetry_offset_s=s), str(video))
        for s in (None, 1.5)
    )
    assert late.span_s == pytest.approx([t - 1.5 for t in plain.span_s])


def test_names_of_frames_and_files_are_those_of_no_other_input(film, tmp_path, segmenter):
    (tmp_path / "flights" / "day1").mkdir(parents=True)
    shutil.copy(film, tmp_path / "flights" / "day1")
    outcome = survey(tmp_path / "flights", tmp_path / "run", segmenter)
    assert len(outcome.grounds) == 2 and outcome.frames[0].name == "day1/flight.mp4#0"
    rows = [crack.fields["source_frame"] for ground in outcome.grounds for crack in ground.cracks]
    assert rows and set(rows) <= {frame.name for frame in outcome.frames}
    mosaics = tmp_path / "run" / "mosaics" / "day1" / "flight"
    assert {path.name for path in mosaics.iterdir()} >= {"ground_1.jpg", "ground_2.jpg"}
    pictures = {crack.picture.path for ground in outcome.grounds for crack in ground.cracks if crack.picture}
    assert pictures and all(path.startswith("pictures/day1/flight/ground_") for path in pictures)


def test_streams_have_names_of_their_own(film, tmp_path):
    shutil.copy(film, tmp_path / "stream_1.mp4")
    sources = (str(tmp_path / "stream_1.mp4"), "rtsp://a/live", "rtsp://b/live", "rtsp://b/road", "0")
    videos = find_inputs(SurveyRequest(sources, tmp_path / "run")).videos
    assert [video[1:] for video in videos] == [
        ("stream_1", "stream_1.mp4"), ("stream_2", "stream_2 live"), ("stream_3", "stream_3 live"),
        ("stream_4", "road"), ("stream_5", "camera 0"),
    ]  # fmt: skip


def test_a_video_that_breaks_off_is_not_complete(film, tmp_path, segmenter):
    broken = tmp_path / "broken.mp4"
    remux(film, broken, FRAGMENTED)
    data = broken.read_bytes()
    broken.write_bytes(data[: int(len(data) * 0.6)])
    outcome = survey(broken, tmp_path / "run", segmenter)
    assert outcome.frames[0].status == "done" and not outcome.complete and not outcome.figures["complete"]
    # Where the user ends the flight before, nothing is missing.
    assert survey(broken, tmp_path / "start", segmenter, seconds=0.3).complete


def test_a_video_that_cannot_be_annotated_keeps_what_was_measured(film, tmp_path, segmenter, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(video_stage, "write_annotated", lambda *args, **options: 1 / 0)
        failed = survey(film, tmp_path / "run", segmenter, annotate=True)
    assert len(failed.grounds) == 2 and not failed.complete and not failed.figures["complete"]
    assert any("flight.mp4 has no annotated video: ZeroDivisionError" in note for note in failed.notes)
    # The same command tries again.
    again = survey(film, tmp_path / "run", segmenter, annotate=True)
    assert again.complete and (tmp_path / "run" / "annotated" / "flight.mp4").is_file()


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_while_a_flight_is_measured(film, tmp_path, segmenter, monkeypatch, presses):
    plain, before = video_stage._measure, signal.getsignal(signal.SIGINT)

    def pressed(run, result):
        for _ in range(presses):
            signal.raise_signal(signal.SIGINT)
        return plain(run, result)

    monkeypatch.setattr(video_stage, "_measure", pressed)
    if presses == 2:
        with pytest.raises(KeyboardInterrupt):
            survey(film, tmp_path / "run", segmenter)
    else:
        outcome = survey(film, tmp_path / "run", segmenter)
        assert outcome.stopped and outcome.complete and len(outcome.grounds) == 2
        monkeypatch.delattr(video_stage, "open_video")  # it is finished
        assert not survey(film, tmp_path / "run", segmenter).stopped
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_in_a_flight_is_told_to_the_run(film, tmp_path, segmenter, monkeypatch):
    plain = video_stage._log

    def pressed(run, looked):
        run.stopped = True
        plain(run, looked)

    monkeypatch.setattr(video_stage, "_log", pressed)
    outcome = survey(film, tmp_path / "run", segmenter)
    assert outcome.stopped and not outcome.complete and outcome.frames[0].status == "done"
