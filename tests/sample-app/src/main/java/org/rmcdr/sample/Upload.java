package org.rmcdr.sample;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.UUID;

/** A file on its way to the data partition: whole and on the disk, or not there. */
final class Upload implements AutoCloseable {
    /** The client sent more than is allowed. */
    static final class TooLarge extends IOException {}

    private final Path partial;
    private final Path target;
    private final Attachment attachment;

    private Upload(Path partial, Path target, Attachment attachment) {
        this.partial = partial;
        this.target = target;
        this.attachment = attachment;
    }

    static Upload receive(Path folder, UUID id, InputStream body, long limitBytes) throws IOException {
        Path partial = folder.resolve("." + id + ".partial");
        MessageDigest digest = sha256();
        long size = 0;
        byte[] buffer = new byte[64 * 1024];
        try (FileChannel file = FileChannel.open(
                partial,
                StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING,
                StandardOpenOption.WRITE)) {
            for (int read = body.read(buffer); read >= 0; read = body.read(buffer)) {
                size += read;
                if (size > limitBytes) {
                    throw new TooLarge();
                }
                digest.update(buffer, 0, read);
                for (ByteBuffer bytes = ByteBuffer.wrap(buffer, 0, read); bytes.hasRemaining(); ) {
                    file.write(bytes);
                }
            }
            file.force(true);
        } catch (IOException failed) {
            Files.deleteIfExists(partial);
            throw failed;
        }
        Attachment attachment = new Attachment(id, HexFormat.of().formatHex(digest.digest()), size);
        return new Upload(partial, folder.resolve(id.toString()), attachment);
    }

    Attachment attachment() {
        return attachment;
    }

    void keep() throws IOException {
        Files.move(partial, target, StandardCopyOption.ATOMIC_MOVE);
        try (FileChannel folder = FileChannel.open(target.getParent(), StandardOpenOption.READ)) {
            folder.force(true);
        }
    }

    @Override
    public void close() throws IOException {
        Files.deleteIfExists(partial);
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
    }
}
