"""From untrusted bytes to the uint8 array that the model takes."""
