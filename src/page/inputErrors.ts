import type { Dialog } from './dialog.ts'
import { day, t } from './format.ts'
import { session } from './store.ts'

/** What is wrong with a field of a token's form, in the page's own texts. The server says only where it is. */

const DAY_MS = 86_400_000
/** Of a value that is quoted, since values may be as long as a body. */
const QUOTED = 60

export const textError = (dialog: Dialog, pointer: string): string | null =>
  dialog.isWrong(pointer) ? t('textWrong') : null

export function expiryError(dialog: Dialog): string | null {
  if (!dialog.isWrong('/expires_at')) return null
  const days = session().max_lifetime_days
  return days === null ? t('dateMissing') : t('dateTooLate', { date: day(Date.now() + days * DAY_MS) })
}

/**
 * @param sent the list as the server has seen it
 * @param most how many items it may have
 */
export function listError(
  dialog: Dialog,
  { pointer, most, wrong }: { pointer: string; most: number; wrong: 'scopesWrong' | 'addressesWrong' },
  sent: readonly string[],
): string | null {
  const items = sent.filter((_, i) => dialog.isWrong(`${pointer}/${i}`)).map((item) => item.slice(0, QUOTED))
  if (items.length > 0) return t(wrong, { list: items.join(', ') })
  return dialog.isWrong(pointer) ? t('tooMany', { n: most }) : null
}
