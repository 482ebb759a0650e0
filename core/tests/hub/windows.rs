//! Bounds: the window of an upstream, the eight of a lane, the bytes that wait.
