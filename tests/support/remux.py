"""Copies of a video in another container, its packets unchanged."""

FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
"""An MP4 that can be read as far as it goes when it is cut off."""


def remux(source, target, options=None, container="mp4"):
    """Write the packets of the first video track; anything else is left out."""
    import av

    with av.open(str(source)) as original, av.open(str(target), "w", format=container, options=options or {}) as copy:
        stream = original.streams.video[0]
        out = copy.add_stream_from_template(stream)
        for packet in original.demux(stream):
            if packet.dts is not None:
                packet.stream = out
                copy.mux(packet)
