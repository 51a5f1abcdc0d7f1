/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Static inlines and macros of the kernel as functions, for the Rust glue layer. This header is also
 * what bindgen reads: drivers/bindings.txt names what it takes from the includes.
 */
#ifndef COMPSC_HELPERS_H
#define COMPSC_HELPERS_H

#include <linux/dma-mapping.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_vlan.h>
#include <linux/interrupt.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/net_tstamp.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/ptp_clock_kernel.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/workqueue.h>
#include <net/devlink.h>
#include <net/netdev_queues.h>
#include <net/page_pool/helpers.h>
#include <net/xdp.h>

#include "vfio/helpers.h"

/* Sizes as the C compiler sees them: bindgen's must agree. */
size_t compsc_sizeof_net_device(void);
size_t compsc_sizeof_sk_buff(void);
size_t compsc_sizeof_napi_struct(void);

/* PCI and DMA. */
int compsc_dma_set_mask_and_coherent(struct device *dev, u64 mask);
int compsc_pci_request_mem_regions(struct pci_dev *pdev, const char *name);
void compsc_pci_release_mem_regions(struct pci_dev *pdev);
bool compsc_can_wakeup(struct device *dev);
void compsc_wake_from_off(struct pci_dev *pdev);
bool compsc_vfs_in_use(struct pci_dev *pdev);
void compsc_vfs_save_state(struct pci_dev *pdev);
void compsc_vfs_restore_state(struct pci_dev *pdev);
void compsc_vfs_restore_msi_state(struct pci_dev *pdev);
unsigned int compsc_num_online_cpus(void);
int compsc_request_irq(unsigned int irq, irq_handler_t handler, const char *name, void *data);

/* Work. */
void compsc_init_delayed_work(struct delayed_work *work, work_func_t func);
struct workqueue_struct *compsc_alloc_workqueue(const char *name);
bool compsc_queue_delayed_work(struct workqueue_struct *wq, struct delayed_work *work,
			       unsigned int msecs);
void compsc_schedule_delayed_work(struct delayed_work *work, unsigned int msecs);
bool compsc_mod_delayed_work(struct workqueue_struct *wq, struct delayed_work *work,
			     unsigned int msecs);

/* Network device, queues and NAPI. */
void *compsc_netdev_priv(struct net_device *dev);
void compsc_set_netdev_dev(struct net_device *dev, struct device *parent);
void compsc_eth_hw_addr_set(struct net_device *dev, const u8 *addr);
void compsc_eth_hw_addr_random(struct net_device *dev);
void compsc_set_unicast_filter(struct net_device *dev);
bool compsc_netif_running(const struct net_device *dev);
bool compsc_netif_is_rxfh_configured(const struct net_device *dev);
bool compsc_netif_carrier_ok(const struct net_device *dev);
bool compsc_netif_device_present(const struct net_device *dev);
void compsc_netif_napi_add(struct net_device *dev, struct napi_struct *napi,
			   int (*poll)(struct napi_struct *, int), int index);
void compsc_netif_napi_del(struct napi_struct *napi);
void compsc_netif_napi_set_irq(struct napi_struct *napi, int irq);
bool compsc_napi_schedule(struct napi_struct *napi);
void compsc_napi_schedule_irqoff(struct napi_struct *napi);
void compsc_napi_gro_receive(struct napi_struct *napi, struct sk_buff *skb);
void compsc_local_bh_disable(void);
void compsc_local_bh_enable(void);
void compsc_netif_txq_lock_bh(struct netdev_queue *txq);
void compsc_netif_txq_unlock_bh(struct netdev_queue *txq);
unsigned int compsc_smp_processor_id(void);
struct netdev_queue *compsc_netdev_get_tx_queue(struct net_device *dev, unsigned int index);
void compsc_netif_tx_stop_queue(struct netdev_queue *txq);
void compsc_netif_tx_start_queue(struct netdev_queue *txq);
bool compsc_netif_tx_queue_stopped(const struct netdev_queue *txq);
void compsc_netdev_tx_reset_queue(struct netdev_queue *txq);
bool compsc_netdev_tx_sent_queue(struct netdev_queue *txq, unsigned int bytes);
void compsc_netdev_tx_completed_queue(struct netdev_queue *txq, unsigned int packets,
				      unsigned int bytes);
void compsc_txq_trans_cond_update(struct netdev_queue *txq);
bool compsc_netdev_xmit_more(void);
void compsc_smp_mb(void);

/* devlink. */
struct devlink *compsc_devlink_alloc(const struct devlink_ops *ops, size_t priv_size,
				     struct device *dev);

/* Clocks and time stamps. */
enum {
	COMPSC_SKBTX_HARDWARE = SKBTX_HW_TSTAMP,
	COMPSC_SKBTX_ANY = SKBTX_HW_TSTAMP | SKBTX_SW_TSTAMP | SKBTX_BPF,
	COMPSC_TIMESTAMPING = SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_HARDWARE |
			      SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE,
};

struct module *compsc_driver_owner(struct device *dev);
void compsc_ptp_before(struct ptp_system_timestamp *sts);
void compsc_ptp_after(struct ptp_system_timestamp *sts);
void compsc_skb_set_stamp(struct sk_buff *skb, u64 ns);
struct sk_buff *compsc_skb_await_stamp(struct sk_buff *skb);
void compsc_skb_tx_stamp(struct sk_buff *skb, u64 ns);
void compsc_skb_tx_software_stamp(struct sk_buff *skb);

/* Tracepoints. */
void compsc_trace_replay(const char *function, const char *name, unsigned int index, u32 offset,
			 u32 value);
void compsc_trace_restore_begin(const char *function, u32 version);
void compsc_trace_restore_end(const char *function, u32 version, u64 ns, u64 resent);

/* Lists of addresses: calls back for each. */
void compsc_hw_addr_list_for_each(const struct netdev_hw_addr_list *list,
				  void (*each)(void *data, const u8 *addr), void *data);

/* Settings of ethtool that the kernel names by macros. */
enum {
	COMPSC_COALESCE_USECS = ETHTOOL_COALESCE_USECS,
	COMPSC_COALESCE_ADAPTIVE = ETHTOOL_COALESCE_USE_ADAPTIVE,
	COMPSC_RSS_HASH_TOP = ETH_RSS_HASH_TOP,
};

/* Link states of virtual functions: constants of an enum without a name. */
enum {
	COMPSC_VF_LINK_AUTO = IFLA_VF_LINK_STATE_AUTO,
	COMPSC_VF_LINK_ENABLE = IFLA_VF_LINK_STATE_ENABLE,
	COMPSC_VF_LINK_DISABLE = IFLA_VF_LINK_STATE_DISABLE,
};

/* Buffers. */
enum { COMPSC_PP_FLAGS = PP_FLAG_DMA_MAP | PP_FLAG_DMA_SYNC_DEV };

struct page *compsc_page_pool_alloc(struct page_pool *pool, dma_addr_t *dma);
void compsc_page_pool_put(struct page_pool *pool, struct page *page, bool in_napi);
struct sk_buff *compsc_build_rx_skb(struct page_pool *pool, struct page *page,
				    unsigned int headroom, unsigned int len);
void compsc_skb_add_rx_page(struct page_pool *pool, struct sk_buff *skb, struct page *page,
			    unsigned int offset, unsigned int len);
void *compsc_page_address(const struct page *page);
dma_addr_t compsc_dma_map_head(struct device *dev, void *data, size_t len);
dma_addr_t compsc_skb_frag_dma_map(struct device *dev, const skb_frag_t *frag, size_t offset,
				   size_t len);
void compsc_dma_unmap_tx(struct device *dev, dma_addr_t dma, size_t len);
void compsc_dev_kfree_skb_any(struct sk_buff *skb);
void compsc_vlan_put_tag(struct sk_buff *skb, u16 tci);
int compsc_skb_cow_head(struct sk_buff *skb);
bool compsc_skb_put_padto(struct sk_buff *skb, unsigned int len);

/* XDP. */
u32 compsc_bpf_prog_run_xdp(const struct bpf_prog *prog, struct xdp_buff *xdp);
bool compsc_xdp_has_frags(const struct bpf_prog *prog);
void compsc_trace_xdp_exception(const struct net_device *dev, const struct bpf_prog *prog,
				u32 act);
void compsc_set_extack(struct netlink_ext_ack *extack, const char *msg);
struct bpf_net_context *compsc_bpf_net_ctx_set(struct bpf_net_context *ctx);
void compsc_bpf_net_ctx_clear(struct bpf_net_context *ctx);
void compsc_xdp_init(struct xdp_buff *xdp, u32 frame_sz, struct xdp_rxq_info *rxq);
void compsc_xdp_begin(struct xdp_buff *xdp, struct page_pool *pool, struct page *page,
		      unsigned int headroom, unsigned int len);
bool compsc_xdp_add_page(struct xdp_buff *xdp, struct page_pool *pool, struct page *page,
			 unsigned int offset, unsigned int len);
unsigned int compsc_xdp_len(const struct xdp_buff *xdp);
bool compsc_xdp_buff_has_frags(const struct xdp_buff *xdp);
struct sk_buff *compsc_xdp_build_skb(const struct xdp_buff *xdp);
struct xdp_frame *compsc_xdp_to_frame(struct xdp_buff *xdp);
unsigned int compsc_xdp_frame_len(const struct xdp_frame *frame);
const skb_frag_t *compsc_xdp_frame_frags(const struct xdp_frame *frame, unsigned int *count);

#endif
