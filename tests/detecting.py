"""Which detector tests find faces with: Haar, which needs no file; where OpenCV 5 has none, YuNet."""

import cv2

DETECTOR = "haar" if hasattr(cv2, "CascadeClassifier") else "yunet"
