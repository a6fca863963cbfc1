/** `npm run fault -- [--seed N] [--operations backup,prune] [--count K] [--only backup:die:7]` */
import { parseArgs } from 'node:util';
import { campaign, describeFailure } from './campaign.ts';

const { values } = parseArgs({
  options: { seed: { type: 'string', default: '1' }, operations: { type: 'string' }, count: { type: 'string' }, only: { type: 'string' }, verbose: { type: 'boolean', default: false } },
});
const started = performance.now();
const tally = { well: 0, wrong: 0 };
const report = await campaign({
  seed: Number(values.seed),
  operations: values.operations?.split(',') ?? (values.only === undefined ? undefined : [values.only.split(':')[0] ?? '']),
  count: values.count === undefined ? undefined : Number(values.count),
  only: values.only,
  done: (name, wrong) => {
    if (wrong.length > 0) tally.wrong++;
    else tally.well++;
    if (values.verbose) process.stdout.write(`${wrong.length > 0 ? 'WRONG' : 'well '} ${name}\n`);
  },
});
for (const failure of report.failures) process.stdout.write(`${describeFailure(failure)}\n`);
process.stdout.write(`seed ${values.seed}: ${report.scenarios} scenarios, ${report.failures.length} failures, ${((performance.now() - started) / 1000).toFixed(0)} s\n`);
process.exitCode = report.failures.length > 0 ? 1 : 0;
