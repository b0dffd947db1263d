import { ask } from './api.ts'
import { addressCheck } from './addressCheck.ts'
import { type Dialog, openDialog, orStale } from './dialog.ts'
import { describedBy, field, valueOf } from './fields.ts'
import { day, t } from './format.ts'
import { html, nothing, type TemplateResult } from './lit.js'
import { expiryError, listError, textError } from './inputErrors.ts'
import { say, session, type Token } from './store.ts'

const PRESETS = ['7', '30', '60', '90']
const DAY_MS = 86_400_000
const MOST_SCOPES = 32
const MOST_ADDRESSES = 100

/** What a form has of a token. */
export interface Draft {
  /** Null: it is to be made. */
  token: Token | null
  name: string
  description: string
  /** A number of days, `date`, `never`, or `keep`. */
  expiry: string
  /** `2026-11-27` */
  date: string
  scopes: Set<string>
  freeScopes: string
  addresses: string
  /** The lists as they were sent: the server counts their items. */
  sent: { scopes: string[]; addresses: string[] }
  rotatable: boolean
  /** What is wrong with it that can be seen here; null: nothing. */
  problem(): string | null
  input(): Record<string, unknown>
}

/** The end of a day where the reader is. */
const endOfDay = (date: string): Date => new Date(`${date}T23:59:59`)

const wordsOf = (text: string): string[] => text.split(/\s+/).filter(Boolean)

/** When it expires; null: never. */
function expiryOf({ expiry, date }: Draft): Date | null {
  if (expiry === 'never') return null
  return expiry === 'date' ? endOfDay(date) : new Date(Date.now() + Number(expiry) * DAY_MS)
}

export function draftOf(token: Token | null): Draft {
  return {
    token,
    name: token?.name ?? '',
    description: token?.description ?? '',
    expiry: 'keep',
    date: '',
    scopes: new Set(token?.scopes),
    freeScopes: token?.scopes.join(' ') ?? '',
    addresses: token?.allowed_ips?.join('\n') ?? '',
    sent: { scopes: [], addresses: [] },
    rotatable: token?.rotatable ?? false,
    problem() {
      if (this.name.trim() === '') return t('nameMissing')
      const isMissing = this.expiry === 'date' && !(endOfDay(this.date).getTime() > Date.now())
      return isMissing ? t('dateMissing') : null
    },
    input() {
      const scopes = session().scopes === null ? wordsOf(this.freeScopes) : [...this.scopes]
      const addresses = wordsOf(this.addresses)
      this.sent = { scopes, addresses }
      return {
        name: this.name,
        description: this.description.trim() || null,
        scopes,
        allowed_ips: addresses.length === 0 ? null : addresses,
        rotatable: this.rotatable,
        ...(this.expiry === 'keep' ? {} : { expires_at: expiryOf(this)?.toISOString() ?? null }),
      }
    },
  }
}

export function tokenFields(dialog: Dialog, draft: Draft): TemplateResult {
  const nameError = textError(dialog, '/name')
  const descriptionError = textError(dialog, '/description')
  const addressError = listError(
    dialog,
    { pointer: '/allowed_ips', most: MOST_ADDRESSES, wrong: 'addressesWrong' },
    draft.sent.addresses,
  )
  const change =
    <K extends keyof Draft>(member: K) =>
    (event: Event) => {
      draft[member] = valueOf(event) as Draft[K]
    }
  return html`
    ${field(
      { id: 'name', label: t('name'), hint: t('nameHint'), error: nameError },
      html`<input
        id="name"
        maxlength="100"
        required
        autofocus
        autocomplete="off"
        dir="auto"
        aria-describedby=${describedBy('name', true, nameError)}
        aria-invalid=${nameError !== null}
        .value=${draft.name}
        @input=${change('name')}
      />`,
    )}
    ${field(
      { id: 'description', label: t('description'), isOptional: true, error: descriptionError },
      html`<input
        id="description"
        maxlength="500"
        aria-describedby=${describedBy('description', false, descriptionError)}
        aria-invalid=${descriptionError !== null}
        autocomplete="off"
        dir="auto"
        .value=${draft.description}
        @input=${change('description')}
      />`,
    )}
    ${expiryFields(dialog, draft)} ${scopeFields(dialog, draft)}
    ${field(
      {
        id: 'addresses',
        label: t('addresses'),
        isOptional: true,
        hint: t('addressesHint'),
        error: addressError,
      },
      html`<textarea
        id="addresses"
        rows="2"
        spellcheck="false"
        class="mono"
        aria-describedby=${describedBy('addresses', true, addressError)}
        aria-invalid=${addressError !== null}
        .value=${draft.addresses}
        @input=${change('addresses')}
      ></textarea>`,
    )}
    ${draft.token === null ? nothing : addressCheck(dialog, draft.token, () => (draft.sent.addresses = wordsOf(draft.addresses)))}
  `
}

/** The days that may be chosen: no more than tokens may live. */
const presets = (): string[] =>
  PRESETS.filter((days) => Number(days) <= (session().max_lifetime_days ?? Infinity))

function expiryFields(dialog: Dialog, draft: Draft): TemplateResult {
  const choose = (value: string) => () => {
    draft.expiry = value
    dialog.redraw()
  }
  const choice = (value: string, label: string) => html`
    <label class="pill">
      <input type="radio" name="expiry" value=${value} .checked=${draft.expiry === value} @change=${choose(value)} />
      <span>${label}</span>
    </label>
  `
  const pick = (event: Event) => {
    draft.date = valueOf(event)
    dialog.redraw()
  }
  const problem = expiryError(dialog)
  return html`<fieldset>
    <legend>${t('expiry')}</legend>
    <div class="pills">
      ${draft.token === null ? nothing : choice('keep', t('keepExpiry'))}
      ${presets().map((days) => choice(days, t('days', { n: Number(days) })))} ${choice('date', t('expiryDate'))}
      ${session().max_lifetime_days === null ? choice('never', t('expiryNever')) : nothing}
    </div>
    ${
      draft.expiry === 'date'
        ? html`<label class="inline">
            <span>${t('date')}</span>
            <input type="date" required .value=${draft.date} @input=${pick} />
          </label>`
        : nothing
    }
    <p class=${draft.expiry === 'never' ? 'warning' : 'hint'} role="status">${expiryText(draft)}</p>
    ${problem === null ? nothing : html`<p class="error">${problem}</p>`}
  </fieldset>`
}

function expiryText(draft: Draft): string {
  if (draft.expiry === 'never') return t('expiresNeverHint')
  const at = draft.expiry === 'keep' ? draft.token?.expires_at : expiryOf(draft)
  if (at === null || at === undefined) return t('neverExpires')
  const time = new Date(at).getTime()
  return Number.isNaN(time) ? '' : t('expiresOn', { date: day(time) })
}

function scopeFields(dialog: Dialog, draft: Draft): TemplateResult {
  const { scopes } = session()
  const problem = listError(
    dialog,
    { pointer: '/scopes', most: MOST_SCOPES, wrong: 'scopesWrong' },
    draft.sent.scopes,
  )
  if (scopes === null) {
    return field(
      { id: 'scopes', label: t('scopes'), isOptional: true, hint: t('scopesFree'), error: problem },
      html`<input
        id="scopes"
        class="mono"
        autocomplete="off"
        spellcheck="false"
        aria-describedby=${describedBy('scopes', true, problem)}
        aria-invalid=${problem !== null}
        .value=${draft.freeScopes}
        @input=${(event: Event) => {
          draft.freeScopes = valueOf(event)
        }}
      />`,
    )
  }
  // Those that the token has already may stay, whoever gave them.
  const kept = (draft.token?.scopes ?? []).filter((name) => !scopes.some((one) => one.name === name))
  const all = [...scopes, ...kept.map((name) => ({ name, description: undefined }))]
  const toggle = (name: string) => (event: Event) => {
    if ((event.target as HTMLInputElement).checked) draft.scopes.add(name)
    else draft.scopes.delete(name)
  }
  return html`<fieldset>
    <legend>${t('scopes')}</legend>
    <p class="hint">${all.length === 0 ? t('scopesNone') : t('scopesHint')}</p>
    ${all.map(
      ({ name, description }) => html`<label class="choice">
        <input type="checkbox" .checked=${draft.scopes.has(name)} @change=${toggle(name)} />
        <span><code>${name}</code>${description ? html`<span class="sub">${description}</span>` : nothing}</span>
      </label>`,
    )}
    ${problem === null ? nothing : html`<p class="error">${problem}</p>`}
  </fieldset>`
}

/** Only what was changed is sent, so that nobody's other change is undone. */
function changesOf(draft: Draft, token: Token): Record<string, unknown> {
  const before: Record<string, unknown> = { ...token }
  const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)
  return Object.fromEntries(
    Object.entries(draft.input()).filter(([name, value]) => !same(before[name], value)),
  )
}

/** @param onSaved with the token as it is now; null: it has to be read anew */
export function openEdit(token: Token, onSaved: (saved: Token | null) => void): void {
  const draft = draftOf(token)
  openDialog({ title: t('editTitle', { name: token.name }) }, (dialog) => {
    const save = async () => {
      const { body } = await ask<Token>(`tokens/${token.id}`, {
        method: 'PATCH',
        body: changesOf(draft, token),
        ifMatch: `"${token.revision}"`,
      })
      dialog.close()
      say(t('saved', { name: body.name }))
      onSaved(body)
    }
    const submit = (event: Event) => {
      event.preventDefault()
      const problem = draft.problem()
      if (problem !== null) return dialog.fail(problem)
      void dialog.work(() => orStale(save, dialog, () => onSaved(null)))
    }
    return html`<form @submit=${submit} novalidate>
      ${tokenFields(dialog, draft)}
      <label class="choice">
        <input
          type="checkbox"
          .checked=${draft.rotatable}
          @change=${(event: Event) => {
            draft.rotatable = (event.target as HTMLInputElement).checked
          }}
        />
        <span>${t('rotatable')}</span>
      </label>
      <p class="actions">${dialog.error()}
        <button type="button" @click=${dialog.close}>${t('cancel')}</button>
        <button type="submit" class="primary" ?disabled=${dialog.isBusy()}>${t('save')}</button>
      </p>
    </form>`
  })
}
