"""`python -m jaxcnn` is the command `jaxcnn`."""

from __future__ import annotations

from jaxcnn.view.process import main

if __name__ == "__main__":
    main()
