"""How a head is turned, from landmarks: an average head, fitted to the points as if seen from afar.

yaw, pitch, roll = head_pose(face)
"""

from __future__ import annotations

import numpy as np

from .find import Face

# Pupils, tip of the nose and corners of the mouth in interocular distances: x to the right of the picture, y down,
# z towards the camera. x and y are the means of faces seen from the front, z those of anthropometry.
HEAD = np.array([[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.62, 0.42], [-0.4, 1.06, 0.12], [0.4, 1.06, 0.12]])
FIVE = (0, 1, 55, 87, 93)  # the same five among the 189 landmarks
DISAGREEMENT = 30.0  # degrees between the eye lines of detector and landmarks, above which the detector is wrong


def head_pose(face: Face) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees: positive where the head turns, and leans, to the right of the picture, and up.

    From the detector's five points where it has them: they follow a turned head further than the 189, which are
    always those of a face from the front. On a head that lies on its side the detector mistakes the eyes, so its
    points are dropped where both disagree on the roll. Roll is that in the upright photo.
    """
    pose = pose_of(np.asarray(face.points[list(FIVE)], np.float64))
    if face.box.points is not None:
        by_detector = pose_of(np.asarray(face.box.points, np.float64))
        if abs(_half_circle(by_detector[2] - pose[2])) < DISAGREEMENT:
            pose = by_detector
    return *pose[:2], _half_circle(pose[2] - 90 * face.quarters)


def _half_circle(degrees: float) -> float:
    return (degrees + 180) % 360 - 180


def pose_of(points: np.ndarray) -> tuple[float, float, float]:
    """See `head_pose`; points: (5, 2) in the order of HEAD."""
    across = points[1] - points[0]
    roll = np.arctan2(across[1], across[0])
    upright = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    points = (points - points.mean(0)) @ upright.T
    head = HEAD - HEAD.mean(0)
    right, down = np.linalg.lstsq(head, points, rcond=None)[0].T  # rows of scale x rotation
    # Turning an average head by yaw moves its depth sideways, by pitch up or down.
    yaw = np.degrees(np.arctan2(right[2], right[0]))
    pitch = np.degrees(np.arctan2(-down[2], down[1]))
    return float(yaw), float(pitch), float(np.degrees(roll))
