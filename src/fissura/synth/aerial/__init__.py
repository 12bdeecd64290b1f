"""Synthetic roads from the air with exact truth: worlds, cameras, pictures, films.

A *world* is a piece of flat ground, drawn from a seed; a *camera* looks at it; a *view* is the picture with the truth;
a *flight* is a camera for each frame of a film. Worlds of the family ``tuning`` are for development, those of ``fresh``
for final numbers only: nothing may be chosen by them.
"""

from fissura.synth.aerial.camera import AerialCamera
from fissura.synth.aerial.flight import Flight, plan_flight
from fissura.synth.aerial.ground import Ground
from fissura.synth.aerial.model import GroundCrack, Road, Vehicle, WorldOptions
from fissura.synth.aerial.photo import write_aerial_photo
from fissura.synth.aerial.photo_flight import PhotoFlight, TelemetryNoise, write_photo_flight
from fissura.synth.aerial.telemetry import Origin
from fissura.synth.aerial.vehicles import MovingVehicle, plan_traffic
from fissura.synth.aerial.video import Encoding, FlightTruth, write_flight
from fissura.synth.aerial.view import AerialView, draw_camera, render_view
from fissura.synth.aerial.world import AerialWorld, make_world

__all__ = [
    "AerialCamera",
    "AerialView",
    "AerialWorld",
    "Encoding",
    "Flight",
    "FlightTruth",
    "Ground",
    "GroundCrack",
    "MovingVehicle",
    "Origin",
    "PhotoFlight",
    "Road",
    "TelemetryNoise",
    "Vehicle",
    "WorldOptions",
    "draw_camera",
    "make_world",
    "plan_flight",
    "plan_traffic",
    "render_view",
    "write_aerial_photo",
    "write_flight",
    "write_photo_flight",
]
