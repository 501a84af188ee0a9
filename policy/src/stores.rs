//! Entity stores that were made for earlier questions of one principal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cedar_policy::Entities;
use sealwright_core::key::Purpose;
use sealwright_core::name::{KeyName, Tenant};
use sealwright_core::permit::Resource;

/// Most stores kept for one principal; beyond, all are made anew.
const STORES_MAX: usize = 64;

/// Making a store costs more than evaluating the policies in it: Cedar computes the ancestors of every
/// entity. It depends on nothing but principal and resource, so it never goes stale.
#[derive(Default)]
pub(crate) struct Stores(
    // Held for a look-up only.
    Mutex<HashMap<Asked, Arc<Entities>>>,
);

#[derive(PartialEq, Eq, Hash)]
enum Asked {
    Key(KeyName, Purpose),
    Tenant(Tenant),
}

impl Stores {
    /// The store for `resource`; `make` makes it where it is missing.
    pub(crate) fn get(
        &self,
        resource: &Resource<'_>,
        make: impl FnOnce() -> Result<Entities, String>,
    ) -> Result<Arc<Entities>, String> {
        let asked = Asked::of(resource);
        if let Some(store) = self.lock().get(&asked) {
            return Ok(Arc::clone(store));
        }
        let made = Arc::new(make()?);
        let mut stores = self.lock();
        if stores.len() >= STORES_MAX {
            stores.clear();
        }
        stores.insert(asked, Arc::clone(&made));
        Ok(made)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Asked, Arc<Entities>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    fn of(resource: &Resource<'_>) -> Self {
        match resource {
            Resource::Key { name, purpose } => Self::Key((*name).clone(), *purpose),
            Resource::Tenant(tenant) => Self::Tenant((*tenant).clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Result<Entities, String> {
        Ok(Entities::empty())
    }

    #[test]
    fn a_store_is_made_once_for_each_resource() {
        let stores = Stores::default();
        let (a, b): (Tenant, Tenant) = ("a".parse().unwrap(), "b".parse().unwrap());
        stores.get(&Resource::Tenant(&a), empty).unwrap();
        let again = stores.get(&Resource::Tenant(&a), || Err("made again".to_owned()));
        assert!(again.is_ok());
        let other = stores.get(&Resource::Tenant(&b), || Err("made".to_owned()));
        assert_eq!(other.map(|_| ()), Err("made".to_owned()));
    }

    #[test]
    fn a_caller_who_asks_for_ever_other_keys_fills_no_memory() {
        let stores = Stores::default();
        for number in 0..3 * STORES_MAX {
            let tenant: Tenant = format!("t{number}").parse().unwrap();
            stores.get(&Resource::Tenant(&tenant), empty).unwrap();
        }
        assert!(stores.lock().len() <= STORES_MAX);
    }
}
