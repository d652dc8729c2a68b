"""Work without torchvision where it does not fit the torch that is installed."""

import sys
import warnings


def shun_broken_torchvision() -> bool:
    """Hide a torchvision that cannot be imported, so that transformers prepares pictures with PIL instead of failing.

    A torchvision of another build than torch raises when it is imported. Has to be called before transformers is imported.

    Returns
    -------
    bool
        Whether torchvision can be used.
    """
    try:
        import torchvision  # noqa: F401
    except Exception as error:
        sys.modules["torchvision"] = None  # type: ignore[assignment]
        warnings.warn(
            f"torchvision cannot be used beside this torch ({error}): pictures are prepared with PIL instead, and open_clip models "
            "cannot be used. To mend it, install torch and torchvision from the same index.",
            stacklevel=2,
        )
        return False
    return True
