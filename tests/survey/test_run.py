"""A run as a whole: what Ctrl-C leaves to another one."""

from dataclasses import replace

from fissura.survey import video_stage
from fissura.survey.request import SurveyRequest
from fissura.survey.run import Inputs, _Run
from fissura.survey.run_folder import RunFolder
from fissura.survey.video_results import VideoOutcome


def test_a_run_that_is_stopped_in_a_video_does_not_begin_the_next(tmp_path, monkeypatch):
    begun = []

    def survey_video(request, source, key, name, *others):
        begun.append(key)
        return replace(VideoOutcome.failed(source, name, "stopped before it began"), stopped=key == "b")

    monkeypatch.setattr(video_stage, "survey_video", survey_video)
    folder = RunFolder(tmp_path / "run", {}, {})
    folder.open(overwrite=False)
    run = _Run(SurveyRequest(("films",), tmp_path / "run", quiet=True), folder, None, None, {}, None, object())
    videos = tuple((f"{key}.mp4", key, f"{key}.mp4") for key in "abcd")
    run.work(Inputs((), (), videos, {}, {}, ()))
    assert begun == ["a", "b"] and not run.found.complete
    assert [note for note in run.found.notes if "Ctrl-C" in note and "2 inputs were not surveyed" in note]
