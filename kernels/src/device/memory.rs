//! A device's memory, as a [`Buffer`](crate::Buffer).

use std::fmt;
use std::sync::Arc;

use super::driver::{Address, Driver};
use crate::error::Result;

/// Floats in a device's memory: all of an allocation or a part of it, which is given back when its last part is dropped.
pub struct DeviceBuffer {
    allocation: Arc<Allocation>,
    address: Address,
    len: usize,
}

impl DeviceBuffer {
    pub(crate) fn zeroed(driver: &Arc<dyn Driver>, len: usize) -> Result<Self> {
        let allocation = Arc::new(Allocation::new(driver, &[len])?);
        let address = allocation.addresses[0];
        Ok(Self { allocation, address, len })
    }

    /// Parts of one allocation.
    pub(crate) fn all_zeroed(driver: &Arc<dyn Driver>, lens: &[usize]) -> Result<Vec<Self>> {
        if lens.is_empty() {
            return Ok(Vec::new());
        }
        let allocation = Arc::new(Allocation::new(driver, lens)?);
        let parts = allocation.addresses.iter().zip(lens);
        Ok(parts.map(|(&address, &len)| Self { allocation: allocation.clone(), address, len }).collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn address(&self) -> Address {
        self.address
    }

    /// Copies its first floats, of which there are so many.
    pub(crate) fn read(&self, values: &mut [f32]) -> Result<()> {
        self.allocation.driver.read(self.address, values)
    }

    pub(crate) fn is_of(&self, driver: &Arc<dyn Driver>) -> bool {
        Arc::ptr_eq(&self.allocation.driver, driver)
    }
}

impl fmt::Debug for DeviceBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceBuffer({} floats, {})", self.len, self.allocation.driver.name())
    }
}

/// What one call of [`Driver::allocate`] gave.
struct Allocation {
    driver: Arc<dyn Driver>,
    /// When, in the recorder's time.
    born: u64,
    addresses: Vec<Address>,
}

impl Allocation {
    fn new(driver: &Arc<dyn Driver>, lens: &[usize]) -> Result<Self> {
        let addresses = driver.allocate(lens)?;
        Ok(Self { driver: driver.clone(), born: driver.recorder().birth(), addresses })
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        let addresses = std::mem::take(&mut self.addresses);
        self.driver.recorder().drop_memory(&*self.driver, self.born, addresses);
    }
}

/// Bytes that so many floats take.
pub(super) fn bytes(floats: usize) -> Address {
    floats as Address * size_of::<f32>() as Address
}
