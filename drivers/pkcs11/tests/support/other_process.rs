//! Something done to the token by another process than the driver: the test program itself, started again.

use std::process::Command;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use sealwright_softhsm_tests::softhsm::{CONF_VARIABLE, MODULE, SoftHsm};

use super::PIN;

const PART: &str = "SEALWRIGHT_TEST_PART";

/// The part of the test that this process shall do; `None` in the test itself.
pub fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// Runs `part` of the test function `test` in another process that sees the token.
///
/// A test that calls this begins with a look at [`part`]. SoftHSM reads its configuration's path from the
/// environment, which a multi-threaded test program cannot change for itself.
pub fn run(test: &str, part: &str, hsm: &SoftHsm) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(PART, part)
        .env(CONF_VARIABLE, hsm.conf())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "part {part}:\n{text}"
    );
}

/// Logs in to the one token, for a part.
pub fn session() -> Session {
    let module = Pkcs11::new(MODULE).unwrap();
    module
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .unwrap();
    let slot = module.get_slots_with_initialized_token().unwrap()[0];
    let session = module.open_rw_session(slot).unwrap();
    session
        .login(UserType::User, Some(&AuthPin::new(PIN.into())))
        .unwrap();
    session
}

/// Deletes every object of a class with a label.
pub fn delete(session: &Session, class: ObjectClass, label: &str) {
    let template = [Attribute::Class(class), Attribute::Label(label.into())];
    let objects = session.find_objects(&template).unwrap();
    assert!(!objects.is_empty(), "nothing to delete");
    objects
        .into_iter()
        .for_each(|object| session.destroy_object(object).unwrap());
}
