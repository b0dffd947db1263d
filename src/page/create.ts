import { go } from './address.ts'
import { ask } from './api.ts'
import { type Dialog, openDialog } from './dialog.ts'
import { draftOf, tokenFields, type Draft } from './edit.ts'
import { t } from './format.ts'
import { html } from './lit.js'
import { replaceSecret } from './rotation.ts'
import { showSecret } from './secret.ts'
import { say, type Token } from './store.ts'
import { focusRow, loadList } from './tokenList.ts'

const DEFAULT_DAYS = '30'

export function openCreate(): void {
  const draft: Draft = { ...draftOf(null), expiry: DEFAULT_DAYS }
  // Of this one dialog: however often it is sent, one token comes of it.
  const idempotencyKey = crypto.randomUUID()
  openDialog({ title: t('createTitle') }, (dialog) => {
    const submit = (event: Event) => {
      event.preventDefault()
      const problem = draft.problem()
      if (problem !== null) return dialog.fail(problem)
      void dialog.work(() => create(dialog, draft, idempotencyKey))
    }
    return html`<form @submit=${submit} novalidate>
      ${tokenFields(dialog, draft)} 
      <p class="actions">${dialog.error()}
        <button type="button" @click=${dialog.close}>${t('cancel')}</button>
        <button type="submit" class="primary" ?disabled=${dialog.isBusy()}>${t('create')}</button>
      </p>
    </form>`
  })
}

async function create(dialog: Dialog, draft: Draft, idempotencyKey: string): Promise<void> {
  const { status, body } = await ask<Token & { token?: string }>('tokens', {
    method: 'POST',
    body: draft.input(),
    idempotencyKey,
  })
  dialog.close()
  const shown = () => {
    go({ only: '', status: 'live', q: '', sort: '-created_at', token: null })
    say(t('created', { name: body.name }))
    void loadList().then(() => requestAnimationFrame(() => focusRow(body.id)))
  }
  // The first answer was lost: this one tells of the token that it made, without the secret.
  if (status === 200 || body.token === undefined) lostSecret(body, shown)
  else showSecret(body, body.token, shown)
}

function lostSecret(token: Token, onDone: () => void): void {
  openDialog({ title: t('secretLost'), isHeld: true }, (dialog) => {
    const leaveIt = () => {
      dialog.close()
      onDone()
    }
    const renew = () =>
      dialog.work(async () => {
        const secret = await replaceSecret(token)
        dialog.close()
        showSecret(token, secret, onDone)
      })
    return html`
      <p>${t('secretLostHint')}</p>
      <p class="actions">${dialog.error()}
        <button type="button" ?disabled=${dialog.isBusy()} @click=${leaveIt}>${t('later')}</button>
        <button type="button" class="primary" autofocus ?disabled=${dialog.isBusy()} @click=${() => void renew()}>
          ${t('newSecret')}
        </button>
      </p>
    `
  })
}
