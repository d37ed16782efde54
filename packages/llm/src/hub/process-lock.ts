import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/**
 * Does something while no other process of this host does it under the same name. The kernel lets go of the name however a
 * process ends, as it is that of an abstract socket.
 */
export async function exclusively<T>(name: string, work: () => Promise<T>, onWait: () => void): Promise<T> {
  const address = `\0troupe-lock-${createHash('sha256').update(name).digest('hex')}`
  for (let isWaiting = false; ; isWaiting = true) {
    const server = createServer().unref()
    try {
      server.listen(address)
      await once(server, 'listening')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
      if (!isWaiting) onWait()
      await endOf(address)
      continue
    }
    const waiting = new Set<{ destroy(): void }>()
    server.on('connection', (socket) => {
      waiting.add(socket)
      socket.on('error', () => {}).on('close', () => waiting.delete(socket))
    })
    try {
      return await work()
    } finally {
      const closed = once(server, 'close')
      server.close()
      for (const socket of waiting) socket.destroy()
      await closed
    }
  }
}

/** Resolves when the process that holds a name ends or lets go of it. */
function endOf(address: string): Promise<void> {
  return new Promise((resolve) => {
    connect({ path: address })
      .on('error', () => {})
      .on('close', () => resolve())
      .resume()
  })
}
