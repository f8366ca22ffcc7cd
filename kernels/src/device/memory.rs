//! A device's memory, as a [`Buffer`](crate::Buffer).

use std::fmt;
use std::sync::Arc;

use super::driver::{Address, Driver};
use crate::error::Result;

/// Floats in a device's memory, given back when dropped.
pub struct DeviceBuffer {
    driver: Arc<dyn Driver>,
    address: Address,
    len: usize,
}

impl DeviceBuffer {
    pub(crate) fn zeroed(driver: &Arc<dyn Driver>, len: usize) -> Result<Self> {
        // Never nothing: an address is something to tell apart by.
        let address = driver.allocate(len.max(1))?;
        Ok(Self { driver: driver.clone(), address, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn address(&self) -> Address {
        self.address
    }

    pub(crate) fn is_of(&self, driver: &Arc<dyn Driver>) -> bool {
        Arc::ptr_eq(&self.driver, driver)
    }
}

impl fmt::Debug for DeviceBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceBuffer({} floats, {})", self.len, self.driver.name())
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        self.driver.free(self.address);
    }
}
