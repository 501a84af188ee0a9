//! Tenants whose callers need a bound token for everything: the configuration's demand on top of the policy's.

use std::sync::Arc;

use sealwright_core::digest::Sha256Digest;
use sealwright_core::identity::Principal;
use sealwright_core::name::Tenant;
use sealwright_core::permit::{Action, Answer, PolicyEngine, Question, Resource, TokenDemand};

use crate::config::security::SenderConstraints;

/// Which tenants have to show what.
#[derive(Debug, Clone, Default)]
pub struct Tenants {
    dpop: Vec<Tenant>,
    mtls: Vec<Tenant>,
}

impl Tenants {
    /// As configured.
    pub fn new(constraints: &SenderConstraints) -> Self {
        Self {
            dpop: constraints.dpop.tenants.clone(),
            mtls: constraints.mtls.tenants.clone(),
        }
    }

    fn demand(&self, tenant: &Tenant) -> TokenDemand {
        TokenDemand {
            bound: false,
            dpop: self.dpop.contains(tenant),
            mtls: self.mtls.contains(tenant),
        }
    }

    /// `policy` with these demands, or as it is where there are none.
    pub fn on(&self, policy: Arc<dyn PolicyEngine>) -> Arc<dyn PolicyEngine> {
        match self.dpop.is_empty() && self.mtls.is_empty() {
            true => policy,
            false => Arc::new(Enforced {
                policy,
                tenants: self.clone(),
            }),
        }
    }
}

struct Enforced {
    policy: Arc<dyn PolicyEngine>,
    tenants: Tenants,
}

impl PolicyEngine for Enforced {
    fn decide(&self, question: &Question<'_>) -> Answer {
        let mut answer = self.policy.decide(question);
        if let Answer::Allow { demands, .. } = &mut answer {
            let demand = self.tenants.demand(&question.principal.tenant);
            demands.token = demands.token.and(demand);
        }
        answer
    }

    fn could_allow(&self, principal: &Principal, action: Action, resource: &Resource<'_>) -> bool {
        self.policy.could_allow(principal, action, resource)
    }

    fn forbids_outright(
        &self,
        principal: &Principal,
        action: Action,
        resource: &Resource<'_>,
    ) -> Vec<String> {
        self.policy.forbids_outright(principal, action, resource)
    }

    fn names_predicate_type(&self, predicate_type: &str) -> bool {
        self.policy.names_predicate_type(predicate_type)
    }

    fn digest(&self) -> Sha256Digest {
        self.policy.digest()
    }
}
