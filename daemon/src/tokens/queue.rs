//! Who is next at a token: round-robin over principals, first in first out within one.

use std::collections::{HashMap, VecDeque};

/// A fair queue: a principal with a thousand requests delays another one's by at most one turn.
#[derive(Debug)]
pub struct FairQueue<T> {
    turns: VecDeque<String>,
    waiting: HashMap<String, VecDeque<T>>,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            turns: VecDeque::new(),
            waiting: HashMap::new(),
        }
    }
}

impl<T> FairQueue<T> {
    /// Puts `item` behind the principal's others.
    pub fn push(&mut self, principal: &str, item: T) {
        match self.waiting.get_mut(principal) {
            Some(items) => items.push_back(item),
            None => {
                self.turns.push_back(principal.to_owned());
                self.waiting
                    .insert(principal.to_owned(), VecDeque::from([item]));
            }
        }
    }

    /// Takes the next item; its principal goes to the end of the round.
    pub fn pop(&mut self) -> Option<T> {
        let principal = self.turns.pop_front()?;
        let items = self.waiting.get_mut(&principal)?;
        let item = items.pop_front();
        if items.is_empty() {
            self.waiting.remove(&principal);
        } else {
            self.turns.push_back(principal);
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_principal_does_not_keep_others_waiting() {
        let mut queue = FairQueue::default();
        for n in 0..5 {
            queue.push("a", format!("a{n}"));
        }
        queue.push("b", "b0".to_owned());
        queue.push("c", "c0".to_owned());
        queue.push("b", "b1".to_owned());
        let order: Vec<String> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(order, ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4"]);
        assert!(queue.turns.is_empty() && queue.waiting.is_empty());
    }
}
