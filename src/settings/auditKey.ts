import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { chmodSync, existsSync, readFileSync } from 'node:fs'
import { type Settings, SettingsError } from './settings.ts'
import { makeWholeFile } from './wholeNewFile.ts'

/** The Ed25519 key of checkpoints. Outside production, one is made for the first checkpoint, and kept. */

export const DEV_AUDIT_KEY_FILE = 'data/audit-key.pem'

type KeySettings = Pick<Settings, 'auditKeyFile' | 'production'>

/** @throws SettingsError naming AUDIT_KEY_FILE */
export function signingKey({ auditKeyFile, production }: KeySettings, file = DEV_AUDIT_KEY_FILE): KeyObject {
  if (auditKeyFile === null && !production) makeIfMissing(file)
  return keyIn(fileOf({ auditKeyFile, production }, file), 'private key', createPrivateKey)
}

/**
 * The key for commands that only check signatures. A file with the public key is enough. Makes no key.
 * @throws as `signingKey`
 */
export const checkingKey = (settings: KeySettings, file = DEV_AUDIT_KEY_FILE): KeyObject =>
  keyIn(fileOf(settings, file), 'key, private or public', createPublicKey)

function fileOf({ auditKeyFile, production }: KeySettings, file: string): string {
  if (auditKeyFile !== null) return auditKeyFile
  if (production) throw wrong('must be set in production')
  if (!existsSync(file)) throw wrong('must name the key that the checkpoint was signed with')
  return file
}

function makeIfMissing(file: string): void {
  const { privateKey } = generateKeyPairSync('ed25519')
  try {
    if (!makeWholeFile(file, String(privateKey.export({ type: 'pkcs8', format: 'pem' }))))
      chmodSync(file, 0o600)
  } catch (error) {
    throw wrong(`is not set, and ${file} cannot be made (${(error as NodeJS.ErrnoException).code})`)
  }
}

function keyIn(file: string, what: string, read: (pem: string) => KeyObject): KeyObject {
  let pem: string
  try {
    pem = readFileSync(file, 'utf8')
  } catch (error) {
    throw wrong(`names a file that cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
  try {
    const key = read(pem)
    if (key.asymmetricKeyType === 'ed25519') return key
  } catch {
    // It is reported below, without the content of the file.
  }
  throw wrong(`must name a file with an Ed25519 ${what} (PEM)`)
}

const wrong = (problem: string): SettingsError => new SettingsError([`AUDIT_KEY_FILE ${problem}`])
