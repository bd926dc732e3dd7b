//! A small bounded cache.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// What was used recently: at most so many values, by key. For nodes, pages, open files.
///
/// Values are kept in two generations. When the young one is full it becomes the old one, and
/// what was in the old one is dropped; what is found in the old one becomes young again. So all
/// steps cost the same, and at least the last half of the values is there. Values are cloned
/// out: use an [`Arc`](std::sync::Arc). No lock is held while the caller makes a value.
#[derive(Debug)]
pub struct Recent<K, V> {
    half: usize,
    generations: Mutex<[HashMap<K, V>; 2]>,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// A cache of at most `most` values (an even number of them, and two at least).
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { half: (most / 2).max(1), generations: Mutex::default() }
    }

    /// The value of `key`, if it is still there.
    pub fn get(&self, key: &K) -> Option<V> {
        let mut g = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *g;
        if let Some(value) = young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = old.remove_entry(key)?;
        insert(&mut g, self.half, key, value.clone());
        Some(value)
    }

    /// Keeps `value`.
    pub fn put(&self, key: K, value: V) {
        let mut g = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        insert(&mut g, self.half, key, value);
    }
}

fn insert<K: Eq + Hash, V>([young, old]: &mut [HashMap<K, V>; 2], half: usize, key: K, value: V) {
    if young.len() >= half {
        *old = std::mem::take(young);
    }
    young.insert(key, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(cache: &Recent<u32, u32>) -> usize {
        cache.generations.lock().unwrap().iter().map(HashMap::len).sum()
    }

    #[test]
    fn what_is_used_stays_and_the_bound_holds() {
        let cache = Recent::new(8);
        cache.put(0, 0);
        for i in 1..1000_u32 {
            cache.put(i, i);
            assert_eq!(cache.get(&0), Some(0), "used all the time, after {i}");
            for last in i.saturating_sub(2)..=i {
                assert_eq!(cache.get(&last), Some(last), "{last} after {i}");
            }
            assert!(kept(&cache) <= 8, "{}", kept(&cache));
        }
        assert_eq!(cache.get(&500), None);
    }

    #[test]
    fn a_bound_of_nothing_keeps_two() {
        let cache = Recent::new(0);
        (0..10).for_each(|i| cache.put(i, i));
        assert_eq!(kept(&cache), 2);
    }
}
