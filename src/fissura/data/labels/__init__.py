"""Masks as annotations of labelling tools, and back: COCO, YOLO-seg, CVAT, LabelMe."""
