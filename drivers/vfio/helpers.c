// SPDX-License-Identifier: GPL-2.0
#include <linux/iommu.h>
#include <linux/pm_runtime.h>
#include <linux/ratelimit.h>

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

static int compsc_vfio_count(struct device *dev, void *count)
{
	++*(unsigned int *)count;
	return 0;
}

unsigned int compsc_vfio_group_size(struct pci_dev *pdev)
{
	struct iommu_group *group = iommu_group_get(&pdev->dev);
	unsigned int count = 0;

	if (!group)
		return 0;
	iommu_group_for_each_dev(group, &count, compsc_vfio_count);
	iommu_group_put(group);
	return count;
}

bool compsc_vfio_ratelimit(void)
{
	static DEFINE_RATELIMIT_STATE(state, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);

	return __ratelimit(&state);
}
