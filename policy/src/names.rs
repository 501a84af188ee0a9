//! The names of `schema.cedarschema` as Cedar values, made once.

use std::str::FromStr as _;

use cedar_policy::{EntityId, EntityTypeName, EntityUid};
use sealwright_core::identity::Role;
use sealwright_core::name::Tenant;
use sealwright_core::permit::{Action, Resource};

use crate::error::PolicyError;

/// Entity types and actions.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    principal: EntityTypeName,
    role: EntityTypeName,
    tenant: EntityTypeName,
    key: EntityTypeName,
    actions: Vec<(Action, EntityUid)>,
}

impl Names {
    pub(crate) fn new() -> Result<Self, PolicyError> {
        let action = type_name("Action")?;
        Ok(Self {
            principal: type_name("Principal")?,
            role: type_name("Role")?,
            tenant: type_name("Tenant")?,
            key: type_name("Key")?,
            actions: Action::ALL.map(|a| (a, uid(&action, a.as_str()))).to_vec(),
        })
    }

    pub(crate) fn principal(&self, id: &str) -> EntityUid {
        uid(&self.principal, id)
    }

    pub(crate) fn role(&self, role: Role) -> EntityUid {
        uid(&self.role, role.as_str())
    }

    pub(crate) fn tenant(&self, tenant: &Tenant) -> EntityUid {
        uid(&self.tenant, tenant.as_str())
    }

    pub(crate) fn resource(&self, resource: &Resource<'_>) -> EntityUid {
        match resource {
            Resource::Key { name, .. } => uid(&self.key, &name.to_string()),
            Resource::Tenant(tenant) => self.tenant(tenant),
        }
    }

    pub(crate) fn action(&self, action: Action) -> Option<&EntityUid> {
        self.actions
            .iter()
            .find(|(known, _)| *known == action)
            .map(|(_, uid)| uid)
    }
}

fn type_name(name: &str) -> Result<EntityTypeName, PolicyError> {
    EntityTypeName::from_str(&format!("Sealwright::{name}"))
        .map_err(|e| PolicyError::Internal(format!("entity type {name}: {e}")))
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}
