# A training script with a Debugger hook as notebook authors write it: of model and loss, only the model is registered.
import argparse
import os

import torch
import torch.nn as nn
import torch.optim as optim
import torchvision
import torchvision.transforms as transforms
from PIL import ImageFile

import smdebug.pytorch as smd
from lib.network import net
from smdebug.pytorch import get_hook

ImageFile.LOAD_TRUNCATED_IMAGES = True


def test(model, test_loader, criterion, device, hook):
    print("Testing Model on Whole Testing Dataset")
    model.eval()
    if hook:
        hook.set_mode(smd.modes.EVAL)
    running_loss = 0
    running_corrects = 0
    for inputs, labels in test_loader:
        inputs = inputs.to(device)
        labels = labels.to(device)
        outputs = model(inputs)
        loss = criterion(outputs, labels)
        _, preds = torch.max(outputs, 1)
        running_loss += loss.item() * inputs.size(0)
        running_corrects += torch.sum(preds == labels.data).item()
    print(f"Testing Loss: {running_loss / len(test_loader.dataset)}")
    print(f"Testing Accuracy: {running_corrects / len(test_loader.dataset)}")


def train(model, train_loader, criterion, optimizer, device, hook, epochs):
    for epoch in range(epochs):
        if hook:
            hook.set_mode(smd.modes.TRAIN)
        model.train()
        for inputs, labels in train_loader:
            inputs = inputs.to(device)
            labels = labels.to(device)
            optimizer.zero_grad()
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
        print(f"Epoch: {epoch}, Training Loss: {loss.item():.6f}")
    return model


def main(args):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    transform = transforms.Compose([transforms.Resize((48, 48)), transforms.ToTensor()])
    data = "/opt/ml/input/data/training"
    train_data = torchvision.datasets.ImageFolder(os.path.join(data, "train"), transform)
    test_data = torchvision.datasets.ImageFolder(os.path.join(data, "test"), transform)
    train_loader = torch.utils.data.DataLoader(train_data, batch_size=args.batch_size, shuffle=True)
    test_loader = torch.utils.data.DataLoader(test_data, batch_size=args.batch_size)

    model = net(len(train_data.classes)).to(device)
    hook = get_hook(create_if_not_exists=True)
    if hook:
        hook.register_module(model)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=args.lr)
    model = train(model, train_loader, criterion, optimizer, device, hook, args.epochs)
    test(model, test_loader, criterion, device, hook)
    with open("/opt/ml/model/classes.txt", "w") as file:
        file.write("\n".join(train_data.classes))
    torch.save(model.cpu().state_dict(), "/opt/ml/model/model.pth")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--model-dir", type=str, default=os.environ["SM_MODEL_DIR"])
    main(parser.parse_args())
