import { ask, tokenPath } from './api.ts'
import { openDialog, orStale } from './dialog.ts'
import { moment, t } from './format.ts'
import { html, nothing, type TemplateResult } from './lit.js'
import { showSecret } from './secret.ts'
import { say, type Token } from './store.ts'

const GRACES: [string, number, () => string][] = [
  ['day', 86_400, () => t('graceDay')],
  ['hour', 3_600, () => t('graceHour')],
  ['week', 604_800, () => t('graceWeek')],
  ['none', 0, () => t('graceNone')],
]

/** Another secret in place of one that nobody has. */
export async function replaceSecret(token: Token): Promise<string> {
  const body = { grace_seconds: 0, activate: 'now' }
  const answer = await ask<{ token: string }>(tokenPath(token.id, false, '/rotations'), {
    method: 'POST',
    body,
  })
  return answer.body.token
}

export function openRotate(token: Token, onDone: () => void): void {
  let chosen = 'day'
  openDialog({ title: t('rotateTitle', { name: token.name }) }, (dialog) => {
    const rotate = async () => {
      const [, seconds = 0] = GRACES.find(([name]) => name === chosen) ?? []
      const { body } = await ask<Token & { token: string }>(tokenPath(token.id, false, '/rotations'), {
        method: 'POST',
        body: { grace_seconds: seconds, activate: seconds === 0 ? 'now' : 'on_first_use' },
        ifMatch: `"${token.revision}"`,
      })
      dialog.close()
      showSecret(body, body.token, onDone)
    }
    const submit = (event: Event) => {
      event.preventDefault()
      void dialog.work(() => orStale(rotate, dialog, onDone))
    }
    return html`<form @submit=${submit}>
      <p>${t('rotateHint')}</p>
      <fieldset>
        <legend>${t('grace')}</legend>
        ${GRACES.map(
          ([name, , label]) => html`<label class="choice">
            <input
              type="radio"
              name="grace"
              ?autofocus=${name === chosen}
              .checked=${name === chosen}
              @change=${() => {
                chosen = name
              }}
            />
            <span>${label()}</span>
          </label>`,
        )}
      </fieldset>
      <p class="actions">${dialog.error()}
        <button type="button" @click=${dialog.close}>${t('cancel')}</button>
        <button type="submit" class="primary" ?disabled=${dialog.isBusy()}>${t('rotateNow')}</button>
      </p>
    </form>`
  })
}

/**
 * What a rotation that is under way means, and how it is ended.
 * @param grace how long the old secret works on once the new one is used, in words; null: not known
 */
export function rotationNotice(
  token: Token,
  grace: string | null,
  mayWrite: boolean,
  onDone: () => void,
): TemplateResult | typeof nothing {
  const { rotation } = token
  if (!rotation) return nothing
  const { status, hint, retires_at: retiresAt } = rotation
  const isPending = status === 'pending'
  return html`<section class="card callout">
    <h2>
      ${isPending ? t('pendingTitle') : t('graceTitle', { hint, date: retiresAt === null ? '' : moment(retiresAt) })}
    </h2>
    <p>
      ${isPending ? t('pendingHint', { hint }) : t('graceHint')}
      ${isPending && grace !== null ? t('pendingGrace', { hint, grace }) : nothing}
    </p>
    ${
      mayWrite
        ? html`<p><button type="button" @click=${() => openEnd(token, isPending, hint, onDone)}>
            ${isPending ? t('dropNew') : t('dropOld')}
          </button></p>`
        : nothing
    }
  </section>`
}

function openEnd(token: Token, isPending: boolean, hint: string, onDone: () => void): void {
  const { name } = token
  const title = isPending ? t('dropNewTitle', { name }) : t('dropOldTitle', { name })
  openDialog({ title }, (dialog) => {
    const end = async () => {
      await ask(tokenPath(token.id, false, '/rotations'), {
        method: 'DELETE',
        query: { status: isPending ? 'pending' : 'grace' },
        ifMatch: `"${token.revision}"`,
      })
      dialog.close()
      say(t('rotationEnded'))
      onDone()
    }
    return html`
      <p>${isPending ? t('dropNewHint', { hint }) : t('dropOldHint', { hint })}</p>
      <p class="actions">${dialog.error()}
        <button type="button" autofocus @click=${dialog.close}>${t('cancel')}</button>
        <button
          type="button"
          class="danger"
          ?disabled=${dialog.isBusy()}
          @click=${() => void dialog.work(() => orStale(end, dialog, onDone))}
        >
          ${isPending ? t('dropNew') : t('dropOld')}
        </button>
      </p>
    `
  })
}
