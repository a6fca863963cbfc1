/** What a follower of write-ahead log tells. Positions are texts as the server writes them. */
export type WalEvent =
  | { readonly kind: 'connected'; readonly server: string; readonly timeline: number; readonly from: string; readonly because: string }
  /** Now and then, for displays: up to where log has come, up to where it is stored, and how far the server is ahead of that. */
  | { readonly kind: 'position'; readonly received: string; readonly stored: string | undefined; readonly lagBytes: number | undefined }
  | { readonly kind: 'stored'; readonly until: string; readonly bytes: number; readonly added: number; readonly ms: number; readonly snapshot: string; readonly coveredAt: string | undefined }
  | { readonly kind: 'timeline'; readonly from: number; readonly to: number; readonly at: string }
  /** Something failed that may pass; it is tried again. */
  | { readonly kind: 'retry'; readonly code: string; readonly sentence: string; readonly waitMs: number }
  | { readonly kind: 'warning'; readonly sentence: string }
  | { readonly kind: 'note'; readonly sentence: string };
