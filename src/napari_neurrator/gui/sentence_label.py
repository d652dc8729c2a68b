"""A sentence whose words can be clicked."""

import re

from qtpy.QtCore import QPointF, Qt
from qtpy.QtCore import Signal as QtSignal
from qtpy.QtGui import QMouseEvent, QTextDocument, QTextOption
from qtpy.QtWidgets import QLabel, QSizePolicy

_WORD = re.compile(r"[\w'’-]+")


def words_in(sentence: str) -> list[str]:
    """Return the words of a sentence, as the backend counts them."""
    return _WORD.findall(sentence)


def word_at(sentence: str, letter: int) -> int | None:
    """Return the place of the word that holds a letter, or None between words."""
    for place, match in enumerate(_WORD.finditer(sentence)):
        if match.start() <= letter < match.end():
            return place
    return None


class SentenceLabel(QLabel):
    """A label that wraps, can be copied from, and says which of its words was clicked.

    Attributes
    ----------
    word_clicked : Signal(int)
        Place of the word among the sentence's words.
    """

    word_clicked = QtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)

    def document(self) -> QTextDocument:
        """Return the text as it is laid out here."""
        document = QTextDocument()
        document.setDefaultFont(self.font())
        document.setDocumentMargin(0)
        option = QTextOption(self.alignment())
        option.setWrapMode(QTextOption.WrapMode.WordWrap)
        document.setDefaultTextOption(option)
        document.setPlainText(self.text())
        document.setTextWidth(self.contentsRect().width())
        return document

    def word_under(self, point: QPointF) -> int | None:
        """Return the place of the word at a point of the label, or None."""
        inside, document = self.contentsRect(), self.document()
        lacking = max(0.0, inside.height() - document.size().height())
        top = inside.top() + (lacking / 2 if self.alignment() & Qt.AlignmentFlag.AlignVCenter else 0.0)
        layout = document.documentLayout()
        assert layout is not None
        letter = layout.hitTest(point - QPointF(inside.left(), top), Qt.HitTestAccuracy.ExactHit)
        return None if letter < 0 else word_at(self.text(), letter)

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Tell which word was clicked, unless text was marked for copying."""
        super().mouseReleaseEvent(event)
        if event is not None and event.button() == Qt.MouseButton.LeftButton and not self.hasSelectedText():
            place = self.word_under(event.position())
            if place is not None:
                self.word_clicked.emit(place)
