// SPDX-License-Identifier: GPL-2.0
/* Bodies of the wrappers that helpers.h describes. */

#include <linux/cpumask.h>
#include <linux/iommu.h>

#include "helpers.h"

#define WRAPPER(sym) EXPORT_SYMBOL_GPL(sym)

size_t compsc_sizeof_net_device(void)
{
	return sizeof(struct net_device);
}

size_t compsc_sizeof_sk_buff(void)
{
	return sizeof(struct sk_buff);
}

size_t compsc_sizeof_napi_struct(void)
{
	return sizeof(struct napi_struct);
}

int compsc_dma_set_mask_and_coherent(struct device *dev, u64 mask)
{
	return dma_set_mask_and_coherent(dev, mask);
}
WRAPPER(compsc_dma_set_mask_and_coherent);

int compsc_pci_request_mem_regions(struct pci_dev *pdev, const char *name)
{
	return pci_request_mem_regions(pdev, name);
}
WRAPPER(compsc_pci_request_mem_regions);

void compsc_pci_release_mem_regions(struct pci_dev *pdev)
{
	pci_release_mem_regions(pdev);
}
WRAPPER(compsc_pci_release_mem_regions);

bool compsc_vfs_in_use(struct pci_dev *pdev)
{
	struct pci_dev *vf = NULL;
	bool used = pci_vfs_assigned(pdev);

	/* A driver that manages DMA hands the function to programs; the group's owner is one. */
	while (!used && (vf = pci_get_device(pdev->vendor, PCI_ANY_ID, vf))) {
		struct iommu_group *group;

		if (!vf->is_virtfn || pci_physfn(vf) != pdev)
			continue;
		group = iommu_group_get(&vf->dev);
		device_lock(&vf->dev);
		used = group && vf->driver && vf->driver->driver_managed_dma &&
		       iommu_group_dma_owner_claimed(group);
		device_unlock(&vf->dev);
		iommu_group_put(group);
		if (used)
			pci_dev_put(vf);
	}
	return used;
}
WRAPPER(compsc_vfs_in_use);

unsigned int compsc_num_online_cpus(void)
{
	return num_online_cpus();
}
WRAPPER(compsc_num_online_cpus);

int compsc_request_irq(unsigned int irq, irq_handler_t handler, const char *name, void *data)
{
	return request_irq(irq, handler, 0, name, data);
}
WRAPPER(compsc_request_irq);

void compsc_init_delayed_work(struct delayed_work *work, work_func_t func)
{
	INIT_DELAYED_WORK(work, func);
}
WRAPPER(compsc_init_delayed_work);

struct workqueue_struct *compsc_alloc_workqueue(const char *name)
{
	/* A restore stands between the guest and its network: it must not wait for other work. */
	return alloc_ordered_workqueue("%s", WQ_HIGHPRI | WQ_MEM_RECLAIM, name);
}
WRAPPER(compsc_alloc_workqueue);

bool compsc_queue_delayed_work(struct workqueue_struct *wq, struct delayed_work *work,
			       unsigned int msecs)
{
	return queue_delayed_work(wq, work, msecs_to_jiffies(msecs));
}
WRAPPER(compsc_queue_delayed_work);

void compsc_schedule_delayed_work(struct delayed_work *work)
{
	schedule_delayed_work(work, 0);
}
WRAPPER(compsc_schedule_delayed_work);

bool compsc_mod_delayed_work(struct workqueue_struct *wq, struct delayed_work *work,
			     unsigned int msecs)
{
	return mod_delayed_work(wq, work, msecs_to_jiffies(msecs));
}
WRAPPER(compsc_mod_delayed_work);

void *compsc_netdev_priv(struct net_device *dev)
{
	return netdev_priv(dev);
}
WRAPPER(compsc_netdev_priv);

void compsc_set_netdev_dev(struct net_device *dev, struct device *parent)
{
	SET_NETDEV_DEV(dev, parent);
}
WRAPPER(compsc_set_netdev_dev);

void compsc_eth_hw_addr_set(struct net_device *dev, const u8 *addr)
{
	eth_hw_addr_set(dev, addr);
}
WRAPPER(compsc_eth_hw_addr_set);

void compsc_eth_hw_addr_random(struct net_device *dev)
{
	eth_hw_addr_random(dev);
}
WRAPPER(compsc_eth_hw_addr_random);

void compsc_set_unicast_filter(struct net_device *dev)
{
	dev->priv_flags |= IFF_UNICAST_FLT;
}
WRAPPER(compsc_set_unicast_filter);

bool compsc_netif_running(const struct net_device *dev)
{
	return netif_running(dev);
}
WRAPPER(compsc_netif_running);

bool compsc_netif_carrier_ok(const struct net_device *dev)
{
	return netif_carrier_ok(dev);
}
WRAPPER(compsc_netif_carrier_ok);

void compsc_netif_napi_add(struct net_device *dev, struct napi_struct *napi,
			   int (*poll)(struct napi_struct *, int), int index)
{
	netif_napi_add_config(dev, napi, poll, index);
}
WRAPPER(compsc_netif_napi_add);

void compsc_netif_napi_del(struct napi_struct *napi)
{
	netif_napi_del(napi);
}
WRAPPER(compsc_netif_napi_del);

void compsc_netif_napi_set_irq(struct napi_struct *napi, int irq)
{
	netif_napi_set_irq(napi, irq);
}
WRAPPER(compsc_netif_napi_set_irq);

bool compsc_napi_schedule(struct napi_struct *napi)
{
	return napi_schedule(napi);
}
WRAPPER(compsc_napi_schedule);

void compsc_napi_schedule_irqoff(struct napi_struct *napi)
{
	napi_schedule_irqoff(napi);
}
WRAPPER(compsc_napi_schedule_irqoff);

void compsc_napi_gro_receive(struct napi_struct *napi, struct sk_buff *skb)
{
	napi_gro_receive(napi, skb);
}
WRAPPER(compsc_napi_gro_receive);

void compsc_local_bh_disable(void)
{
	local_bh_disable();
}
WRAPPER(compsc_local_bh_disable);

void compsc_local_bh_enable(void)
{
	local_bh_enable();
}
WRAPPER(compsc_local_bh_enable);

void compsc_netif_tx_lock_bh(struct net_device *dev)
{
	netif_tx_lock_bh(dev);
}
WRAPPER(compsc_netif_tx_lock_bh);

void compsc_netif_tx_unlock_bh(struct net_device *dev)
{
	netif_tx_unlock_bh(dev);
}
WRAPPER(compsc_netif_tx_unlock_bh);

struct netdev_queue *compsc_netdev_get_tx_queue(struct net_device *dev, unsigned int index)
{
	return netdev_get_tx_queue(dev, index);
}
WRAPPER(compsc_netdev_get_tx_queue);

void compsc_netif_tx_stop_queue(struct netdev_queue *txq)
{
	netif_tx_stop_queue(txq);
}
WRAPPER(compsc_netif_tx_stop_queue);

void compsc_netif_tx_start_queue(struct netdev_queue *txq)
{
	netif_tx_start_queue(txq);
}
WRAPPER(compsc_netif_tx_start_queue);

bool compsc_netif_tx_queue_stopped(const struct netdev_queue *txq)
{
	return netif_tx_queue_stopped(txq);
}
WRAPPER(compsc_netif_tx_queue_stopped);

void compsc_netdev_tx_reset_queue(struct netdev_queue *txq)
{
	netdev_tx_reset_queue(txq);
}
WRAPPER(compsc_netdev_tx_reset_queue);

bool compsc_netdev_tx_sent_queue(struct netdev_queue *txq, unsigned int bytes)
{
	return __netdev_tx_sent_queue(txq, bytes, netdev_xmit_more());
}
WRAPPER(compsc_netdev_tx_sent_queue);

void compsc_netdev_tx_completed_queue(struct netdev_queue *txq, unsigned int packets,
				      unsigned int bytes)
{
	netdev_tx_completed_queue(txq, packets, bytes);
}
WRAPPER(compsc_netdev_tx_completed_queue);

void compsc_txq_trans_cond_update(struct netdev_queue *txq)
{
	txq_trans_cond_update(txq);
}
WRAPPER(compsc_txq_trans_cond_update);

bool compsc_netdev_xmit_more(void)
{
	return netdev_xmit_more();
}
WRAPPER(compsc_netdev_xmit_more);

void compsc_smp_mb(void)
{
	smp_mb();
}
WRAPPER(compsc_smp_mb);

struct page *compsc_page_pool_alloc(struct page_pool *pool, dma_addr_t *dma)
{
	struct page *page = page_pool_dev_alloc_pages(pool);

	if (likely(page))
		*dma = page_pool_get_dma_addr(page);
	return page;
}
WRAPPER(compsc_page_pool_alloc);

void compsc_page_pool_put(struct page_pool *pool, struct page *page, bool in_napi)
{
	page_pool_put_full_page(pool, page, in_napi);
}
WRAPPER(compsc_page_pool_put);

struct sk_buff *compsc_build_rx_skb(struct page_pool *pool, struct page *page,
				    unsigned int headroom, unsigned int len)
{
	struct sk_buff *skb;

	page_pool_dma_sync_for_cpu(pool, page, 0, len);
	prefetch(page_address(page) + headroom);
	skb = napi_build_skb(page_address(page), PAGE_SIZE);
	if (unlikely(!skb))
		return NULL;
	skb_reserve(skb, headroom);
	__skb_put(skb, len);
	skb_mark_for_recycle(skb);
	return skb;
}
WRAPPER(compsc_build_rx_skb);

void compsc_skb_add_rx_page(struct page_pool *pool, struct sk_buff *skb, struct page *page,
			    unsigned int offset, unsigned int len)
{
	page_pool_dma_sync_for_cpu(pool, page, 0, len);
	skb_add_rx_frag(skb, skb_shinfo(skb)->nr_frags, page, offset, len, PAGE_SIZE);
}
WRAPPER(compsc_skb_add_rx_page);

void *compsc_page_address(const struct page *page)
{
	return page_address(page);
}
WRAPPER(compsc_page_address);

dma_addr_t compsc_dma_map_head(struct device *dev, void *data, size_t len)
{
	return dma_map_single(dev, data, len, DMA_TO_DEVICE);
}
WRAPPER(compsc_dma_map_head);

dma_addr_t compsc_skb_frag_dma_map(struct device *dev, const skb_frag_t *frag, size_t offset,
				   size_t len)
{
	return skb_frag_dma_map(dev, frag, offset, len, DMA_TO_DEVICE);
}
WRAPPER(compsc_skb_frag_dma_map);

bool compsc_dma_mapping_error(struct device *dev, dma_addr_t dma)
{
	return dma_mapping_error(dev, dma);
}
WRAPPER(compsc_dma_mapping_error);

void compsc_dma_unmap_tx(struct device *dev, dma_addr_t dma, size_t len)
{
	dma_unmap_page(dev, dma, len, DMA_TO_DEVICE);
}
WRAPPER(compsc_dma_unmap_tx);

void compsc_dev_kfree_skb_any(struct sk_buff *skb)
{
	dev_kfree_skb_any(skb);
}
WRAPPER(compsc_dev_kfree_skb_any);

void compsc_vlan_put_tag(struct sk_buff *skb, u16 tci)
{
	__vlan_hwaccel_put_tag(skb, htons(ETH_P_8021Q), tci);
}
WRAPPER(compsc_vlan_put_tag);

int compsc_skb_cow_head(struct sk_buff *skb)
{
	return skb_cow_head(skb, 0);
}
WRAPPER(compsc_skb_cow_head);

bool compsc_skb_put_padto(struct sk_buff *skb, unsigned int len)
{
	return !skb_put_padto(skb, len);
}
WRAPPER(compsc_skb_put_padto);

void compsc_hw_addr_list_for_each(const struct netdev_hw_addr_list *list,
				  void (*each)(void *data, const u8 *addr), void *data)
{
	const struct netdev_hw_addr *ha;

	netdev_hw_addr_list_for_each(ha, list)
		each(data, ha->addr);
}
WRAPPER(compsc_hw_addr_list_for_each);
