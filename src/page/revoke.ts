import { ask, tokenPath } from './api.ts'
import { openDialog } from './dialog.ts'
import { field, valueOf } from './fields.ts'
import { ago, t } from './format.ts'
import { html } from './lit.js'
import { say, type Token } from './store.ts'

/** Why it is revoked, for the history. */
export const reasonField = (change: (reason: string) => void) =>
  field(
    { id: 'reason', label: t('reason'), isOptional: true, hint: t('reasonHint') },
    html`<input
      id="reason"
      maxlength="200"
      autocomplete="off"
      aria-describedby="reason-hint"
      @input=${(event: Event) => change(valueOf(event))}
    />`,
  )

export const revokeToken = (id: string, isOperator: boolean, reason: string) =>
  ask(tokenPath(id, isOperator), { method: 'DELETE', query: { reason: reason.trim() }, isRepeatable: true })

export function openRevoke(token: Token, isOperator: boolean, onDone: () => void): void {
  let reason = ''
  openDialog({ title: t('revokeTitle', { name: token.name }) }, (dialog) => {
    const revoke = async () => {
      await revokeToken(token.id, isOperator, reason)
      dialog.close()
      say(t('revoked', { name: token.name }))
      onDone()
    }
    return html`
      <p>
        ${
          token.last_accessed === null
            ? t('revokeUnused')
            : t('revokeUsed', { ago: ago(token.last_accessed) })
        }
      </p>
      ${reasonField((text) => {
        reason = text
      })}
      <p class="actions">${dialog.error()}
        <button type="button" autofocus @click=${dialog.close}>${t('cancel')}</button>
        <button type="button" class="danger" ?disabled=${dialog.isBusy()} @click=${() => void dialog.work(revoke)}>
          ${t('revoke')}
        </button>
      </p>
    `
  })
}
