"""Decoders in the window: finding, reading and fitting them."""

import uuid
from pathlib import Path
from typing import Any

from ..backend.protocol import Cancelled, Done, Event, Failed, FitRequest, Fitted, Progress
from ..config import FitConfig
from ..errors import NeurratorError
from .backend_link import BackendLink
from .state import Job, Session


def read_decoder(folder: str) -> Any:
    """Return what a fitted decoder says of itself, without loading its weights."""
    from ..decoding import decoder_info

    return decoder_info(Path(folder))


def default_folder(recording: str, stimulus: str, profile: str) -> Path:
    """Return where a decoder of these lies unless the user says otherwise."""
    from ..decoding import default_decoder_folder

    return Path(default_decoder_folder(recording, stimulus, profile))


def geometry_of(profile: str, height: int, width: int) -> Any:
    """Return where the patches of `profile` lie on a frame of this size."""
    from ..profiles import load_profile
    from ..vision.geometry import PatchGeometry

    return PatchGeometry.of(load_profile(profile), height, width)


def profiles() -> list[str]:
    """Names of the profiles at hand."""
    from ..profiles import list_profiles

    return list(list_profiles())


class Decoders:
    """Keeps ``session.decoder`` and ``session.geometry`` right, and fits on demand."""

    def __init__(self, session: Session, link: BackendLink) -> None:
        self.session, self.link = session, link
        self._job_id = ""
        session.scene_changed.connect(self._on_scene)

    def close(self) -> None:
        """Stop listening, and stop a fit that runs."""
        self.session.scene_changed.disconnect(self._on_scene)
        if self._job_id:
            self.link.cancel(self._job_id, silently=True)

    def choose(self, folder: str) -> bool:
        """Use the decoder in `folder`; one that does not fit the recording is refused in a sentence."""
        session = self.session
        try:
            info = read_decoder(folder)
            self._check(info)
        except NeurratorError as error:
            session.fail(str(error))
            return False
        session.profile, session.decoder_folder = info.profile, str(folder)
        self._locate(info.profile)
        session.decoder = info
        session.status = f"Decoder ready: {Path(folder).name}."
        return True

    def fit(self, config: FitConfig, out: str) -> None:
        """Fit a decoder as `config` says and use it when it is done."""
        session = self.session
        if session.job.kind == "fitting":
            session.warn("A decoder is being fitted already.")
            return
        self._job_id = uuid.uuid4().hex
        session.job = Job("fitting", "Starting")
        self.link.submit(FitRequest(job_id=self._job_id, config=config, out=out), self._on_event)

    def stop(self) -> None:
        """Stop the fit that runs."""
        if self._job_id:
            self.link.cancel(self._job_id)

    def _check(self, info: Any) -> None:
        session = self.session
        if session.recording is None:
            raise NeurratorError("Open the recording before its decoder.")
        if not set(info.unit_ids) & set(session.unit_ids):
            raise NeurratorError(
                "This decoder was fitted on other units than those of the open recording; choose another or fit one."
            )
        if info.stimulus != session.stimulus_name:
            session.warn(
                f"This decoder learned from {info.stimulus!r}, not from {session.stimulus_name!r}, which is shown."
            )

    def _on_scene(self) -> None:
        session = self.session
        if session.decoder is not None and session.decoder.stimulus == session.stimulus_name:
            self._locate(session.profile)
            return
        session.decoder, session.decoder_folder = None, ""
        if session.recording is None or not session.stimulus_name:
            return
        try:
            for profile in profiles():
                folder = default_folder(session.recording.name, session.stimulus_name, profile)
                if (folder / "decoder.json").is_file() and self.choose(str(folder)):
                    return
        except (NeurratorError, ImportError, OSError) as error:
            session.status = str(error)

    def _locate(self, profile: str) -> None:
        session = self.session
        if session.stimulus is None or not profile:
            session.geometry = None
            return
        height, width = session.stimulus.frame(0).shape[:2]
        try:
            session.geometry = geometry_of(profile, height, width)
        except (NeurratorError, ImportError) as error:
            session.geometry = None
            session.fail(str(error))

    def _on_event(self, event: Event) -> None:
        session = self.session
        if event.job_id != self._job_id:
            return
        if isinstance(event, Progress):
            session.job = Job("fitting", event.stage.capitalize(), event.done, event.total, event.detail)
        elif isinstance(event, Fitted):
            session.job = Job()
            self.choose(event.decoder)
        elif isinstance(event, Done | Cancelled | Failed):
            self._job_id = ""
            session.job = Job()
            if isinstance(event, Failed):
                session.fail(event.message)
            elif isinstance(event, Cancelled):
                session.status = "Fitting stopped; nothing was written."
