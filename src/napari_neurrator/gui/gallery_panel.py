"""The gallery: small pictures of the frames in which a concept is strongest; click one to go there."""

from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QFrame, QListView, QListWidget, QListWidgetItem, QProgressBar

from . import layer_styles as styles
from . import parts
from .findings import Gallery, GalleryPicture
from .side_panels import place_beside
from .threads import Background
from .thumbnails import patch_box, thumbnail
from .workspace import Workspace

WIDTH = 420
"""Pixels of a small picture, enough for a sharp one on a dense screen."""
LEAST, MOST = 150, 300
"""How wide a picture is shown."""
SPACING = 6


class Pictures(QListWidget):
    """Pictures in rows, as many beside each other as there is room for."""

    def __init__(self) -> None:
        super().__init__()
        self.aspect = 0.75
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.setSpacing(0)
        self.setAccessibleName("Frames in which the concept is strongest")

    def fit(self) -> None:
        """Choose how wide pictures are, so that they fill the rows."""
        room = self.viewport().width() - 2  # type: ignore[union-attr]
        columns = max(1, room // (LEAST + SPACING), -(-room // (MOST + SPACING)))
        wide = max(60, room // columns - SPACING)
        size = QSize(wide, round(wide * self.aspect))
        text = 2 * self.fontMetrics().lineSpacing() + 8
        grid = QSize(room // columns, size.height() + text + SPACING)
        if grid == self.gridSize() and size == self.iconSize():
            return
        self.setIconSize(size)
        self.setGridSize(grid)
        self.size_items()

    def size_items(self) -> None:
        """Give every picture its cell: left to itself, Qt keeps the size that it had without its icon."""
        for place in range(self.count()):
            item = self.item(place)
            assert item is not None
            item.setSizeHint(self.gridSize() - QSize(2, 2))

    def resizeEvent(self, event: Any) -> None:
        """Fill the rows anew."""
        self.fit()
        super().resizeEvent(event)


class GalleryPanel(parts.Listener):
    """Shows ``session.gallery``."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace.session)
        self._background = Background(workspace.main, "neurrator-thumbnails")
        workspace.when_closed(self._background.close)
        self._made_of: Any = None
        self._shown: tuple[GalleryPicture, ...] = ()
        self.n_made = 0
        """Pictures that look as they should by now."""
        self.setMinimumSize(200, 160)
        layout = parts.column(self)
        self.title = parts.text(bold=True)
        self.note = parts.text(quiet=True)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        self.pictures = Pictures()
        self.pictures.setToolTip(
            "Strongest first; the white square is the strongest patch, and all share one scale of colours"
        )
        self.pictures.itemClicked.connect(self._go)
        self.pictures.itemActivated.connect(self._go)
        self.scale = parts.Scale()
        for widget in (self.title, self.note, self.progress):
            layout.addWidget(widget)
        layout.addWidget(self.pictures, 1)
        layout.addWidget(self.scale)
        events = self.session.events
        self.listen(self._show, events.gallery, events.labels)
        self.listen(
            self._paint, events.gallery, events.interpolation, events.heat_colours, events.opacity, events.geometry
        )
        self.listen(self._mark, workspace.player.followed, events.gallery)

    # -- words -----------------------------------------------------------------------------------------------------------------------
    def _show(self) -> None:
        gallery = self.session.gallery
        self.title.setText("" if gallery is None else f"Where “{self.session.called(gallery.concept)}” is strongest")
        self.note.setText(self.words(gallery))
        busy = gallery is not None and not gallery.finished
        self.progress.setVisible(busy)
        if gallery is not None:
            self.progress.setRange(0, gallery.total)
            self.progress.setValue(gallery.done)
        pictures = () if gallery is None else gallery.pictures
        self.pictures.setVisible(bool(pictures))
        self.scale.setVisible(bool(pictures))
        if pictures is not self._shown:
            self._shown = pictures
            self._fill(pictures)

    def words(self, gallery: Gallery | None) -> str:
        """Say what is shown, or why nothing is."""
        if gallery is None:
            return "Choose “Show gallery” in the menu of a concept."
        if gallery.problem:
            return gallery.problem
        if not gallery.finished:
            return f"{gallery.stage}: {gallery.done} of {gallery.total}" if gallery.total else f"{gallery.stage} …"
        if not gallery.pictures:
            return f"It is active in none of the {gallery.n_frames:,} frames of {gallery.stimulus}."
        rate = self.session.stimulus.frame_rate_hz if self.session.stimulus is not None else None
        each = ", of which one a second at most is shown" if rate else ""
        return f"Active in at least {gallery.n_active:,} of {gallery.n_frames:,} frames{each}. Click one to go there."

    def _fill(self, pictures: tuple[GalleryPicture, ...]) -> None:
        self.pictures.clear()
        stimulus = self.session.stimulus
        if stimulus is not None and pictures:
            height, width = stimulus.frame(0).shape[:2]
            self.pictures.aspect = height / width
            self.pictures.fit()
        # until a picture is made, its place is kept
        blank = QPixmap(WIDTH, round(WIDTH * self.pictures.aspect))
        blank.fill(QColor(128, 128, 128, 40))
        rate = None if stimulus is None else stimulus.frame_rate_hz
        for picture in pictures:
            words = f"frame {picture.frame + 1}" + (f" · {picture.frame / rate:.1f} s" if rate else "")
            item = QListWidgetItem(QIcon(blank), f"{words}\nactivation {picture.value:.2f}")
            item.setData(Qt.ItemDataRole.UserRole, picture.frame)
            item.setTextAlignment(Qt.AlignmentFlag.AlignHCenter)
            self.pictures.addItem(item)
        self.pictures.size_items()
        self._made_of = None

    # -- pictures --------------------------------------------------------------------------------------------------------------------
    def _paint(self) -> None:
        """Make the pictures anew where something of how they look has changed."""
        session, pictures = self.session, self._shown
        if not pictures or session.stimulus is None or session.geometry is None:
            return
        made_of = (pictures, session.interpolation, session.heat_colours, session.opacity, session.geometry)
        if self._made_of is not None and all(a is b or a == b for a, b in zip(made_of, self._made_of, strict=True)):
            return
        self._made_of, self.n_made = made_of, 0
        top = max(float(picture.heatmap.max()) for picture in pictures)
        colours = np.asarray(styles.heat_colormap(session.heat_colours).map(np.linspace(0, 1, 64)))
        faint = colours.copy()
        faint[:, 3] *= session.opacity
        self.scale.set(faint, ((0.0, "0"), (0.5, f"{top / 2:.2g}"), (1.0, f"{top:.2g} activation")))
        for place, picture in enumerate(pictures):
            make = partial(
                make_picture,
                session.stimulus,
                picture,
                top,
                session.geometry,
                colours,
                session.interpolation,
                session.opacity,
            )
            self._background.run(partial(self._if_wanted, made_of, make), partial(self._place, made_of, place), _ignore)

    def _if_wanted(self, made_of: Any, make: Any) -> QImage | None:
        # what has been displaced meanwhile is not made
        return make() if made_of is self._made_of else None

    def _place(self, made_of: Any, place: int, image: QImage | None) -> None:
        item = self.pictures.item(place)
        if image is not None and made_of is self._made_of and item is not None:
            item.setIcon(QIcon(QPixmap.fromImage(image)))
            self.n_made += 1

    # -- going there -----------------------------------------------------------------------------------------------------------------
    def _go(self, item: QListWidgetItem) -> None:
        self.session.frame = int(item.data(Qt.ItemDataRole.UserRole))

    def _mark(self) -> None:
        """Mark the picture of the frame that is on, if it is among them."""
        for place, picture in enumerate(self._shown):
            item = self.pictures.item(place)
            if item is not None:
                item.setSelected(picture.frame == self.session.frame)


def _ignore(_error: BaseException) -> None:
    """A frame that cannot be read has no picture; the movie itself tells the user."""


def make_picture(
    stimulus: Any,
    picture: GalleryPicture,
    top: float,
    geometry: Any,
    colours: np.ndarray,
    interpolation: str,
    opacity: float,
) -> QImage:
    """Make a small picture of a frame with its map, and a white square round the patch that is meant."""
    frame = np.asarray(stimulus.frame(picture.frame))
    small = thumbnail(frame, picture.heatmap, top, geometry, colours, WIDTH, interpolation, opacity)
    height, width = small.shape[:2]
    image = QImage(small.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
    painter = QPainter(image)
    box = QRectF(*patch_box(picture.row, picture.column, geometry, frame.shape[1], width))
    for colour, thick in ((QColor(0, 0, 0, 150), 4.0), (QColor(255, 255, 255), 2.0)):
        painter.setPen(QPen(colour, thick))
        painter.drawRect(box)
    painter.end()
    return image


def show_gallery(workspace: Workspace) -> None:
    """Bring the panel to the front, beside Narrate where that is; made on first use."""
    place_beside(workspace, "Gallery", GalleryPanel)
