// SPDX-License-Identifier: GPL-2.0
#include <linux/pm_runtime.h>

#include "helpers.h"

/* Compared with what bindgen found: a layout that differs would corrupt memory. */
size_t compsc_vfio_core_size(void)
{
	return sizeof(struct vfio_pci_core_device);
}

void compsc_vfio_put_device(struct vfio_device *vdev)
{
	vfio_put_device(vdev);
}

u64 compsc_vfio_bar_length(struct pci_dev *pdev, int bar)
{
	return pci_resource_len(pdev, bar);
}

int compsc_vfio_pm_get(struct pci_dev *pdev)
{
	return pm_runtime_resume_and_get(&pdev->dev);
}

void compsc_vfio_pm_put(struct pci_dev *pdev)
{
	pm_runtime_put(&pdev->dev);
}
