/** Captures whose connections count their bytes. */
import type { TrafficMeter } from '../client/postgres/traffic.ts';
import type { Capture, CaptureContext } from './source.ts';

/** Whatever becomes of the capture, in the end it is told what went over the network. */
export async function telling(meter: TrafficMeter, context: CaptureContext, begin: () => Promise<Capture>): Promise<Capture> {
  const tell = (): void => context.traffic?.({ received: meter.received, sent: meter.sent });
  try {
    const capture = await begin();
    return {
      ...capture,
      [Symbol.asyncDispose]: async () => {
        await capture[Symbol.asyncDispose]();
        tell();
      },
    };
  } catch (error) {
    tell();
    throw error;
  }
}
