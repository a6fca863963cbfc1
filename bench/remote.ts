/** Backs up into a bucket and onto an SSH server, with us and with restic, on the same local server: cold, unchanged, restore, one file. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startCeph } from '../test/fixture/ceph.ts';
import { sshd } from '../test/fixture/sshd.ts';
import { cachedDataset } from './data/cache.ts';
import { DATASETS } from './data/datasets.ts';
import { bytesOf, filesOf, noteDifference, warm } from './data/files.ts';
import { measure, quietly, quoted, type Command } from './measure/measure.ts';
import type { Result } from './measure/report.ts';
import { OURS, type Sample } from './measure/sample.ts';
import { orderOf, workFolder, type BenchOptions } from './rounds.ts';
import { holdfast, holdfastVersion } from './tool/holdfast.ts';
import { setUp } from './tool/setup.ts';

/** A server, and an empty place on it for each run of a tool. */
interface Server extends AsyncDisposable {
  readonly note: string;
  place(): Promise<RemotePlace>;
}

interface RemotePlace {
  /** The lines of a repository in holdfast.yaml, without its password. */
  readonly entry: string;
  /** For restic: its address, and options. */
  readonly address: string;
  readonly options: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

interface RemoteTool {
  readonly name: string;
  readonly version: string;
  prepare(folder: string, source: string, place: RemotePlace): void;
  command(phase: Phase, context: { readonly folder: string; readonly source: string; readonly file: string; readonly out: string; readonly place: RemotePlace }): Command;
}

type Phase = 'cold' | 'unchanged' | 'restore' | 'one file';
const PHASES: readonly Phase[] = ['cold', 'unchanged', 'restore', 'one file'];

const ours: RemoteTool = {
  name: OURS, version: holdfastVersion(),
  prepare: (folder, source, place) => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'holdfast.yaml'), `stack: bench\nstores:\n  files: { directory: ${quoted(source)} }\nrepositories:\n  remote:\n    ${place.entry}\n    password: env:HOLDFAST_PASSWORD\n`);
    quietly(inPlace(holdfast(folder, 'init'), folder, place));
  },
  command: (phase, { folder, out, file, place }) => {
    if (phase === 'restore') return inPlace(holdfast(folder, 'restore', '--into', out, '--yes'), folder, place);
    if (phase === 'one file') return inPlace(holdfast(folder, 'restore', 'files', '--path', file, '--into', out, '--yes'), folder, place);
    return inPlace(holdfast(folder, 'backup'), folder, place);
  },
};

/** Caches belong to the round. */
function inPlace(command: Command, folder: string, place: RemotePlace): Command {
  return { ...command, env: { ...command.env, ...place.env, XDG_CACHE_HOME: join(folder, 'cache') } };
}

function restic(): RemoteTool {
  const run = (folder: string, { address, options, env }: RemotePlace, ...args: readonly string[]): Command => ({
    program: 'restic', args: ['-q', ...options, '--repo', address, '--cache-dir', join(folder, 'cache'), ...args], env: { RESTIC_PASSWORD: 'benchmark', ...env },
  });
  return {
    name: 'restic', version: quietly({ program: 'restic', args: ['version'] }).trim(),
    prepare: (folder, _, place) => {
      mkdirSync(folder, { recursive: true });
      quietly(run(folder, place, 'init'));
    },
    command: (phase, { folder, source, out, file, place }) => {
      if (phase === 'restore') return run(folder, place, 'restore', 'latest', '--target', out);
      if (phase === 'one file') return run(folder, place, 'restore', 'latest', '--target', out, '--include', file);
      return run(folder, place, 'backup', source);
    },
  };
}

async function s3Server(): Promise<Server> {
  if (!setUp('debian') || !setUp('ceph')) throw new Error('the S3 server cannot be had');
  const ceph = await startCeph();
  return {
    note: 'Server: Ceph object gateway on this host, objects in memory.',
    place: async () => {
      const bucket = await ceph.bucket();
      return {
        entry: `s3: { bucket: ${bucket}, endpoint: "${ceph.endpoint}", region: us-east-1 }`,
        address: `s3:${ceph.endpoint}/${bucket}`, options: ['-o', 's3.bucket-lookup=path'], env: ceph.environment(),
      };
    },
    [Symbol.asyncDispose]: () => ceph[Symbol.asyncDispose](),
  };
}

async function sftpServer(): Promise<Server> {
  if (!setUp('debian')) throw new Error('sshd cannot be had');
  const server = await sshd();
  let next = 0;
  return {
    note: 'Server: OpenSSH on this host.',
    place: () => {
      const folder = server.path('data', String(next++));
      return Promise.resolve({
        entry: `sftp: { host: here, path: ${folder}, config: ${server.configFile} }`,
        address: `sftp:here:${folder}`, options: ['-o', `sftp.command=ssh -F ${server.configFile} here -s sftp`], env: {},
      });
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

const SERVERS = { s3: s3Server, sftp: sftpServer } as const;
/** Of each dataset so much: the server keeps what every round stores in the memory of this host. */
const DATA = [['directory-mixed', 1], ['directory-incompressible', 0.3], ['directory-small', 1]] as const;

export async function benchRemote(kind: keyof typeof SERVERS, options: BenchOptions): Promise<Result> {
  const tools = options.alone ? [ours] : [ours, restic()];
  const notes = new Set([`Tools: ${tools.map(({ version }) => version).join('; ')}.`]);
  const samples: Sample[] = [];
  for (const [name, part] of DATA) {
    const dataset = DATASETS.find((one) => one.name === name);
    if (!dataset) throw new Error(`no dataset ${name}`);
    const data = cachedDataset(dataset, options.cache, part * options.scale);
    notes.add(`${name}: ${filesOf(data.folder).length} files, ${(bytesOf(data.folder) / 1e6).toFixed(0)} MB.`);
    // A server of its own for each, so that none runs full.
    await using server = await SERVERS[kind]();
    notes.add(server.note);
    using work = workFolder(`${kind}-${name}`, options);
    for (let round = 0; round < options.runs; round++) {
      work.clear();
      const found = await oneRound({ round, tools: orderOf(tools, round), source: data.folder, folder: work.folder, server, patience: options.patience });
      samples.push(...found.map((sample) => ({ ...sample, phase: `${name.replace('directory-', '')} ${sample.phase}` })));
    }
  }
  return { name: kind, samples, notes: [...notes] };
}

interface Round {
  readonly round: number;
  readonly tools: readonly RemoteTool[];
  readonly source: string;
  readonly folder: string;
  readonly server: Server;
  readonly patience: number;
}

async function oneRound({ round, tools, source, folder, server, patience }: Round): Promise<readonly Sample[]> {
  const places = new Map<RemoteTool, RemotePlace>();
  for (const tool of tools) {
    const place = await server.place();
    tool.prepare(join(folder, tool.name), source, place);
    places.set(tool, place);
  }
  const file = filesOf(source)[0]?.path ?? '';
  const samples: Sample[] = [];
  for (const phase of PHASES) {
    for (const tool of tools) {
      const place = places.get(tool);
      if (!place) continue;
      warm(source);
      const out = join(folder, 'out');
      const measured = await measure(tool.command(phase, { folder: join(folder, tool.name), source, file, out, place }), { patience });
      if (phase === 'restore') noteDifference(source, out, tool.name);
      rmSync(out, { recursive: true, force: true });
      console.log(`round ${round + 1} ${phase} ${tool.name}: ${measured.wallSeconds.toFixed(2)} s`);
      samples.push({ phase, tool: tool.name, round, ...measured });
    }
  }
  return samples;
}
