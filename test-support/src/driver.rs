//! Macros for a hypervisor that wraps another one.

/// Implements methods that call the same method of `self.inner`.
#[macro_export]
macro_rules! delegate {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        fn $name(&self $(, $argument: $type)*) -> $result {
            self.inner.$name($($argument),*)
        }
    )*};
}

/// Implements in the same way the methods that no test driver changes. `Domain` and `DriverError` must be in scope.
#[macro_export]
macro_rules! delegate_rest {
    () => {
        $crate::delegate! {
            kind() -> String;
            library_version() -> u64;
            uri() -> String;
            node_info() -> eventryd::driver::NodeInfo;
            security_model() -> eventryd::driver::SecurityModel;
            supports(feature: i32) -> bool;
            domains(filter: eventryd::driver::ListFilter) -> Result<Vec<Domain>, DriverError>;
            domain_by_id(id: u32) -> Result<Domain, DriverError>;
            domain_by_uuid(uuid: uuid::Uuid) -> Result<Domain, DriverError>;
            state(domain: &Domain) -> Result<
                (eventryd::driver::DomainState, eventryd::driver::StateReason),
                DriverError,
            >;
            os_type(domain: &Domain) -> Result<String, DriverError>;
            autostart(domain: &Domain) -> Result<bool, DriverError>;
            is_persistent(domain: &Domain) -> Result<bool, DriverError>;
            has_managed_save(domain: &Domain) -> Result<bool, DriverError>;
            security_label(domain: &Domain) -> Result<eventryd::driver::SecurityLabel, DriverError>;
            messages(domain: &Domain) -> Result<Vec<String>, DriverError>;
            resume(domain: &Domain) -> Result<(), DriverError>;
        }
    };
}
