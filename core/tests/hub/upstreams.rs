//! Which upstream gets what, and what happens when one is missing, lost, or leaves.
