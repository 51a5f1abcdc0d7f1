/* SPDX-License-Identifier: GPL-2.0 */
/* Static inlines of VFIO as functions, for the Rust code of the variant driver. */
#ifndef COMPSC_VFIO_HELPERS_H
#define COMPSC_VFIO_HELPERS_H

#include <linux/anon_inodes.h>
#include <linux/vfio_pci_core.h>

size_t compsc_vfio_core_size(void);
void compsc_vfio_put_device(struct vfio_device *vdev);
u64 compsc_vfio_bar_length(struct pci_dev *pdev, int bar);
int compsc_vfio_pm_get(struct pci_dev *pdev);
void compsc_vfio_pm_put(struct pci_dev *pdev);
unsigned int compsc_vfio_group_size(struct pci_dev *pdev);
bool compsc_vfio_ratelimit(void);

void compsc_vfio_trace_state(const char *function, u32 from, u32 to, int error, u64 ns);
void compsc_vfio_trace_stop(const char *function, u64 drain_ns, u64 bus_ns, u64 unsent);
void compsc_vfio_trace_freeze(const char *function, u32 counters, u32 pages, int error, u64 ns);
void compsc_vfio_trace_wake(const char *function, u32 version, bool kicked, u64 ns);

#endif
