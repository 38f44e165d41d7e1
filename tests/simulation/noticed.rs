//! Each invariant seen to fail when its rule is taken out.
