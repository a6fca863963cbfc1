/** Who we say we are, one offer after the other, and what to say when none of them was taken. */
import ssh2 from 'ssh2';
import type { AnyAuthMethod, IdentityCallback, ParsedKey, SignCallback, SigningRequestOptions } from 'ssh2';
import { HoldfastError } from '../../base/errors.ts';
import { loginRefused } from './failure.ts';
import { gatherIdentities, type AgentKey, type Identities, type Identity } from './identity.ts';
import { unlockKey } from './private-key.ts';
import type { SshTarget } from './target.ts';

interface Offer {
  readonly method: 'publickey' | 'password' | 'keyboard-interactive';
  readonly label: string;
  /** Undefined when it turns out to be unusable; a note says why. */
  make(): AnyAuthMethod | undefined;
}

/** One login; made anew for each connection. */
export class Authentication {
  readonly #target: SshTarget;
  readonly #notes: string[];
  #offers: Offer[];
  readonly #tried: string[] = [];
  #accepted: readonly string[] = [];
  /** The reason why the one key that was asked for could not even be offered. */
  #unusable: HoldfastError | undefined;
  #askedBefore = false;

  /** Reads keys and asks the agent. Throws `storage-denied` and `secret-exposed` for a key that was asked for. */
  static async prepare(target: SshTarget): Promise<Authentication> {
    return new Authentication(target, await gatherIdentities(target));
  }

  private constructor(target: SshTarget, { usable, notes }: Identities) {
    this.#target = target;
    this.#notes = [...notes];
    const keys = usable.map((identity) => this.#keyOffer(identity));
    const explicit = target.identities.some(({ asked }) => asked === 'explicitly');
    // A password that is configured is meant to be used: before keys that nobody named, which may use up the server's patience.
    this.#offers = explicit ? [...keys, ...this.#passwordOffers()] : [...this.#passwordOffers(), ...keys];
  }

  /**
   * What to try next. `methodsLeft` is null at first, when the server has not yet said what it takes; `partly` is whether it took
   * the last offer and wants one more.
   */
  next(methodsLeft: readonly string[] | null, partly: boolean | null): AnyAuthMethod | false {
    if (methodsLeft === null) return { type: 'none', username: this.#target.user };
    this.#accepted = methodsLeft;
    // What was refused as the first of two factors may be taken as the second.
    if (partly) this.#offers = [...this.#offers.filter(({ method }) => method === 'publickey'), ...this.#passwordOffers()];
    // Offers that do not fit now may fit after a first of two factors was taken.
    for (let index; (index = this.#offers.findIndex(({ method }) => methodsLeft.includes(method))) >= 0; ) {
      const [offer] = this.#offers.splice(index, 1);
      const made = offer?.make();
      if (offer === undefined || made === undefined) continue;
      this.#tried.push(`tried ${offer.label}`);
      return made;
    }
    return false;
  }

  /** Adds what went wrong beside the login itself, as an agent that does not sign. */
  note(text: string): void {
    this.#notes.push(text);
  }

  refusal(): HoldfastError {
    if (this.#unusable && this.#tried.length === 0) return this.#unusable;
    return loginRefused(this.#target, [...this.#tried, ...this.#notes], this.#accepted);
  }

  #keyOffer(identity: Identity): Offer {
    const username = this.#target.user;
    if (identity.from === 'agent') {
      return { method: 'publickey', label: identity.label, make: () => ({ type: 'agent', username, agent: new OneKey(identity.agentKey) }) };
    }
    return {
      method: 'publickey', label: identity.label,
      make: () => {
        const key = this.#unlock(identity);
        return key && { type: 'publickey', username, key };
      },
    };
  }

  #unlock({ file, bytes }: Extract<Identity, { from: 'file' }>): ParsedKey | undefined {
    const key = unlockKey(bytes, this.#target.passphrase);
    if (!('says' in key)) return key;
    this.#notes.push(`key ${file.path}: ${key.says}`);
    if (file.asked === 'explicitly') this.#unusable = new HoldfastError('storage-denied', `the private key ${file.path} ${key.says}`, { hint: key.hint });
    return undefined;
  }

  #passwordOffers(): Offer[] {
    const { password, user: username } = this.#target;
    if (password === undefined) return [];
    return [
      { method: 'password', label: 'the password', make: () => ({ type: 'password', username, password: password.reveal() }) },
      { method: 'keyboard-interactive', label: 'the password, typed as on a keyboard', make: () => ({ type: 'keyboard-interactive', username, prompt: this.#answer }) },
    ];
  }

  /** Hidden questions are for the password; a server that asks again did not like the answer, and gets none. */
  readonly #answer = (_name: string, _instructions: string, _language: string, prompts: readonly { readonly prompt: string; readonly echo?: boolean }[], finish: (answers: string[]) => void): void => {
    const asked = prompts.map(({ prompt }) => prompt.trim()).join(' ');
    const refused = this.#askedBefore && prompts.length > 0;
    if (refused || prompts.some(({ echo }) => echo)) this.#notes.push(`the server asked "${asked}", for which there is no answer`);
    this.#askedBefore ||= prompts.length > 0;
    finish(prompts.map(({ echo }) => (echo || refused ? '' : (this.#target.password?.reveal() ?? ''))));
  };
}

/** An agent that shows one key only, so that each is an offer of its own. */
class OneKey extends ssh2.BaseAgent<ParsedKey> {
  readonly #one: AgentKey;

  constructor(one: AgentKey) {
    super();
    this.#one = one;
  }

  getIdentities(cb: IdentityCallback<ParsedKey>): void {
    cb(null, [this.#one.key]);
  }

  sign(key: ParsedKey, data: Buffer, options: SigningRequestOptions | SignCallback, cb?: SignCallback): void {
    if (typeof options === 'function') this.#one.agent.sign(key, data, options);
    else this.#one.agent.sign(key, data, options, cb);
  }
}
