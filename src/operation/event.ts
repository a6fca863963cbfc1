/** What operations tell while they work. Progress bars, JSON lines and everything else that watches only listens to these. */
import type { Problem } from '../repository/entry.ts';
import type { WalEvent } from './wal/event.ts';

export type OperationEvent =
  | { readonly type: 'store-started'; readonly store: string; readonly kind: string }
  /** A sentence about what goes on now. */
  | { readonly type: 'step'; readonly store: string | undefined; readonly sentence: string }
  /** Since the last one. `totalBytes` where it is known. */
  | { readonly type: 'progress'; readonly store: string | undefined; readonly bytes: number; readonly files: number; readonly totalBytes?: number }
  | { readonly type: 'problem'; readonly store: string; readonly problem: Problem }
  | { readonly type: 'wal'; readonly store: string; readonly wal: WalEvent }
  | { readonly type: 'store-finished'; readonly store: string; readonly seconds: number };

export type Listener = (event: OperationEvent) => void;
