import numpy as np
from napari_neurrator.gui import mouse, compat, layer_styles as styles
from .test_window_lasso import rows_of
def test_dbg(room):
    w = room()
    rows = rows_of(w, "probeA", "VISam")
    w.session.lassoing = True
    path = mouse.ring(w.layers.positions[rows], 0.8 * w.layers.diameter)
    z=compat.zoom(w.viewer)
    print("zoom",z,"diam px",w.layers.diameter*z, "units", w.layers.positions[rows])
    print("canvas", compat.native_canvas(w.viewer).size(), w.viewer.scene.camera.center)
    got=[]
    w.viewer.mouse_move_callbacks.append(lambda v,e: got.append(np.array(e.position)[-2:]))
    mouse.draw(w.viewer, path); mouse.settle(50)
    l=w.layers.get(styles.LASSO)
    poly=np.array([l.data_to_world(v)[-2:] for v in l.data[-1]])
    print("path",path.min(0),path.max(0),"poly",poly.min(0),poly.max(0),len(poly))
    print(np.round(np.array(got)[:4],2), np.round(path[:4],2), len(got))
    print(poly.round(1).tolist())
    assert 0
