// SPDX-License-Identifier: GPL-2.0
/* Bodies of the wrappers that helpers.h describes. */

#include <linux/bpf_trace.h>
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

bool compsc_can_wakeup(struct device *dev)
{
	return device_can_wakeup(dev);
}
WRAPPER(compsc_can_wakeup);

void compsc_wake_from_off(struct pci_dev *pdev)
{
	if (system_state != SYSTEM_POWER_OFF)
		return;
	pci_wake_from_d3(pdev, true);
	pci_set_power_state(pdev, PCI_D3hot);
}
WRAPPER(compsc_wake_from_off);

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

static void for_each_vf(struct pci_dev *pdev, void (*each)(struct pci_dev *vf))
{
	struct pci_dev *vf = NULL;

	while ((vf = pci_get_device(pdev->vendor, PCI_ANY_ID, vf))) {
		if (!vf->is_virtfn || pci_physfn(vf) != pdev)
			continue;
		/* Excludes a reset of the function itself, which uses the same memory. */
		device_lock(&vf->dev);
		each(vf);
		device_unlock(&vf->dev);
	}
}

static void save_state(struct pci_dev *vf)
{
	pci_save_state(vf);
}

/* Bus mastering and MSI-X, with the vectors' table. */
void compsc_vfs_save_state(struct pci_dev *pdev)
{
	for_each_vf(pdev, save_state);
}
WRAPPER(compsc_vfs_save_state);

void compsc_vfs_restore_state(struct pci_dev *pdev)
{
	for_each_vf(pdev, pci_restore_state);
}
WRAPPER(compsc_vfs_restore_state);

void compsc_vfs_restore_msi_state(struct pci_dev *pdev)
{
	for_each_vf(pdev, pci_restore_msi_state);
}
WRAPPER(compsc_vfs_restore_msi_state);

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

void compsc_schedule_delayed_work(struct delayed_work *work, unsigned int msecs)
{
	schedule_delayed_work(work, msecs_to_jiffies(msecs));
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

bool compsc_netif_is_rxfh_configured(const struct net_device *dev)
{
	return netif_is_rxfh_configured(dev);
}
WRAPPER(compsc_netif_is_rxfh_configured);

bool compsc_netif_carrier_ok(const struct net_device *dev)
{
	return netif_carrier_ok(dev);
}
WRAPPER(compsc_netif_carrier_ok);

bool compsc_netif_device_present(const struct net_device *dev)
{
	return netif_device_present(dev);
}
WRAPPER(compsc_netif_device_present);

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

void compsc_netif_txq_lock_bh(struct netdev_queue *txq)
{
	__netif_tx_lock_bh(txq);
}
WRAPPER(compsc_netif_txq_lock_bh);

void compsc_netif_txq_unlock_bh(struct netdev_queue *txq)
{
	__netif_tx_unlock_bh(txq);
}
WRAPPER(compsc_netif_txq_unlock_bh);

unsigned int compsc_smp_processor_id(void)
{
	return smp_processor_id();
}
WRAPPER(compsc_smp_processor_id);

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

struct devlink *compsc_devlink_alloc(const struct devlink_ops *ops, size_t priv_size,
				     struct device *dev)
{
	return devlink_alloc(ops, priv_size, dev);
}
WRAPPER(compsc_devlink_alloc);

struct module *compsc_driver_owner(struct device *dev)
{
	return dev->driver->owner;
}
WRAPPER(compsc_driver_owner);

void compsc_ptp_before(struct ptp_system_timestamp *sts)
{
	ptp_read_system_prets(sts);
}
WRAPPER(compsc_ptp_before);

void compsc_ptp_after(struct ptp_system_timestamp *sts)
{
	ptp_read_system_postts(sts);
}
WRAPPER(compsc_ptp_after);

void compsc_skb_set_stamp(struct sk_buff *skb, u64 ns)
{
	*skb_hwtstamps(skb) = (struct skb_shared_hwtstamps){ .hwtstamp = ns_to_ktime(ns) };
}
WRAPPER(compsc_skb_set_stamp);

/* One more reference, for the time until the stamp is there. */
struct sk_buff *compsc_skb_await_stamp(struct sk_buff *skb)
{
	skb_shinfo(skb)->tx_flags |= SKBTX_IN_PROGRESS;
	return skb_get(skb);
}
WRAPPER(compsc_skb_await_stamp);

void compsc_skb_tx_stamp(struct sk_buff *skb, u64 ns)
{
	struct skb_shared_hwtstamps stamps = { .hwtstamp = ns_to_ktime(ns) };

	skb_tstamp_tx(skb, &stamps);
}
WRAPPER(compsc_skb_tx_stamp);

void compsc_skb_tx_software_stamp(struct sk_buff *skb)
{
	skb_tx_timestamp(skb);
}
WRAPPER(compsc_skb_tx_software_stamp);

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
	dma_addr_t dma = dma_map_single(dev, data, len, DMA_TO_DEVICE);

	return dma_mapping_error(dev, dma) ? DMA_MAPPING_ERROR : dma;
}
WRAPPER(compsc_dma_map_head);

dma_addr_t compsc_skb_frag_dma_map(struct device *dev, const skb_frag_t *frag, size_t offset,
				   size_t len)
{
	dma_addr_t dma = skb_frag_dma_map(dev, frag, offset, len, DMA_TO_DEVICE);

	return dma_mapping_error(dev, dma) ? DMA_MAPPING_ERROR : dma;
}
WRAPPER(compsc_skb_frag_dma_map);

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

u32 compsc_bpf_prog_run_xdp(const struct bpf_prog *prog, struct xdp_buff *xdp)
{
	return bpf_prog_run_xdp(prog, xdp);
}
WRAPPER(compsc_bpf_prog_run_xdp);

bool compsc_xdp_has_frags(const struct bpf_prog *prog)
{
	return prog->aux->xdp_has_frags;
}
WRAPPER(compsc_xdp_has_frags);

void compsc_trace_xdp_exception(const struct net_device *dev, const struct bpf_prog *prog,
				u32 act)
{
	trace_xdp_exception(dev, prog, act);
}
WRAPPER(compsc_trace_xdp_exception);

/* NL_SET_ERR_MSG() takes literals only. */
void compsc_set_extack(struct netlink_ext_ack *extack, const char *msg)
{
	do_trace_netlink_extack(msg);
	if (extack)
		extack->_msg = msg;
}
WRAPPER(compsc_set_extack);

struct bpf_net_context *compsc_bpf_net_ctx_set(struct bpf_net_context *ctx)
{
	return bpf_net_ctx_set(ctx);
}
WRAPPER(compsc_bpf_net_ctx_set);

void compsc_bpf_net_ctx_clear(struct bpf_net_context *ctx)
{
	bpf_net_ctx_clear(ctx);
}
WRAPPER(compsc_bpf_net_ctx_clear);

void compsc_xdp_init(struct xdp_buff *xdp, u32 frame_sz, struct xdp_rxq_info *rxq)
{
	xdp_init_buff(xdp, frame_sz, rxq);
}
WRAPPER(compsc_xdp_init);

void compsc_xdp_begin(struct xdp_buff *xdp, struct page_pool *pool, struct page *page,
		      unsigned int headroom, unsigned int len)
{
	void *hard_start = page_address(page);

	page_pool_dma_sync_for_cpu(pool, page, 0, len);
	prefetchw(hard_start);
	prefetch(hard_start + headroom);
	xdp_reinit_buff(xdp);
	xdp_prepare_buff(xdp, hard_start, headroom, len, true);
}
WRAPPER(compsc_xdp_begin);

bool compsc_xdp_add_page(struct xdp_buff *xdp, struct page_pool *pool, struct page *page,
			 unsigned int offset, unsigned int len)
{
	page_pool_dma_sync_for_cpu(pool, page, 0, len);
	return xdp_buff_add_frag(xdp, page_to_netmem(page), offset, len, PAGE_SIZE);
}
WRAPPER(compsc_xdp_add_page);

unsigned int compsc_xdp_len(const struct xdp_buff *xdp)
{
	return xdp_get_buff_len(xdp);
}
WRAPPER(compsc_xdp_len);

bool compsc_xdp_buff_has_frags(const struct xdp_buff *xdp)
{
	return xdp_buff_has_frags(xdp);
}
WRAPPER(compsc_xdp_buff_has_frags);

/* As other packets come from the ring: with the Ethernet header still in front. */
struct sk_buff *compsc_xdp_build_skb(const struct xdp_buff *xdp)
{
	struct sk_buff *skb = xdp_build_skb_from_buff(xdp);

	if (likely(skb))
		__skb_push(skb, ETH_HLEN);
	return skb;
}
WRAPPER(compsc_xdp_build_skb);

struct xdp_frame *compsc_xdp_to_frame(struct xdp_buff *xdp)
{
	return xdp_convert_buff_to_frame(xdp);
}
WRAPPER(compsc_xdp_to_frame);

unsigned int compsc_xdp_frame_len(const struct xdp_frame *frame)
{
	return xdp_get_frame_len(frame);
}
WRAPPER(compsc_xdp_frame_len);

const skb_frag_t *compsc_xdp_frame_frags(const struct xdp_frame *frame, unsigned int *count)
{
	const struct skb_shared_info *shared;

	if (likely(!xdp_frame_has_frags(frame))) {
		*count = 0;
		return NULL;
	}
	shared = xdp_get_shared_info_from_frame(frame);
	*count = shared->nr_frags;
	return shared->frags;
}
WRAPPER(compsc_xdp_frame_frags);
