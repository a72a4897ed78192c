//! Values in numbered places that are used again: no allocation in the steady state, and the same numbers in every run.

use std::ops::{Index, IndexMut};

/// See the module's comment. A freed place keeps its last value until it is used again.
#[derive(Clone, Debug)]
pub(super) struct Slab<T> {
    places: Vec<T>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Slab<T> {
        Slab { places: Vec::new(), free: Vec::new() }
    }

    /// Puts `value` into a free place and returns its number.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        if let Some(at) = self.free.pop() {
            self.places[at as usize] = value;
            return at;
        }
        self.places.push(value);
        (self.places.len() - 1) as u32
    }

    /// Gives the place `at` back.
    pub(super) fn free(&mut self, at: u32) {
        debug_assert!(!self.free.contains(&at) || self.free.len() > 64, "a place is freed once");
        self.free.push(at);
    }

    /// Places in use.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// All places, freed ones with their last values.
    pub(super) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.places.iter()
    }

    pub(super) fn get(&self, at: u32) -> Option<&T> {
        self.places.get(at as usize)
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, at: u32) -> &T {
        &self.places[at as usize]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.places[at as usize]
    }
}
