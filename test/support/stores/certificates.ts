import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Identity } from '../standIn/standIn.ts'

export interface Authority {
  /** A file with its certificate. */
  file: string
  /** @param names as in `IP:127.0.0.1,DNS:localhost`. @param days how long it holds from now on; negative: it held */
  issue(names: string, days?: number): Identity & { pem: string }
  remove(): void
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** An authority of its own, made by `openssl`. */
export function createAuthority(): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'tokenledger-certificates-'))
  const openssl = (...args: string[]): void =>
    void execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' })
  openssl('req', '-x509', ...KEY, '-keyout', 'ca.key', '-out', 'ca.crt', '-subj', '/CN=tests', '-days', '2')
  let issued = 0
  return {
    file: join(folder, 'ca.crt'),
    issue(names, days = 2) {
      const name = `server${issued++}`
      writeFileSync(join(folder, `${name}.ext`), `subjectAltName=${names}`)
      openssl('req', ...KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', '/CN=server')
      const signed = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', `${name}.ext`]
      openssl('x509', '-req', '-in', `${name}.csr`, ...signed, '-days', String(days), '-out', `${name}.crt`)
      const [key, certificate] = [
        readFileSync(join(folder, `${name}.key`)),
        readFileSync(join(folder, `${name}.crt`)),
      ]
      const pem = join(folder, `${name}.pem`)
      writeFileSync(pem, Buffer.concat([key, certificate]))
      return { key, certificate, pem }
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
