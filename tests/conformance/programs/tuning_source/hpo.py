# A script for hyperparameter tuning as notebook authors write it: a logger without a handler, which prints on AWS.
import argparse
import json
import logging
import os
import sys

import torch
import torch.nn as nn
import torch.optim as optim
import torchvision
import torchvision.models as models
import torchvision.transforms as transforms

logger = logging.getLogger(__name__)
logger.setLevel(logging.DEBUG)


def test(model, test_loader, criterion, device):
    model.eval()
    running_loss = 0
    running_corrects = 0
    for inputs, labels in test_loader:
        inputs, labels = inputs.to(device), labels.to(device)
        outputs = model(inputs)
        loss = criterion(outputs, labels)
        _, preds = torch.max(outputs, 1)
        running_loss += loss.item() * inputs.size(0)
        running_corrects += torch.sum(preds == labels.data).item()
    total_loss = running_loss / len(test_loader.dataset)
    total_acc = running_corrects / len(test_loader.dataset)
    logger.info("Testing Accuracy: {:.4f}".format(100 * total_acc))
    logger.info("Testing Loss: {:.4f}".format(total_loss))


def train(model, train_loader, criterion, optimizer, device, epochs):
    for epoch in range(epochs):
        model.train()
        for inputs, labels in train_loader:
            inputs, labels = inputs.to(device), labels.to(device)
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
        logger.info(f"Epoch {epoch}: train loss {loss.item():.4f}")
    return model


def net(num_classes):
    model = models.resnet18()
    for param in model.parameters():
        param.requires_grad = False
    model.fc = nn.Sequential(nn.Linear(512, 32), nn.ReLU(inplace=True), nn.Linear(32, num_classes))
    return model


def create_data_loaders(data, batch_size):
    transform = transforms.Compose([transforms.Resize((48, 48)), transforms.ToTensor()])
    loaders = []
    for folder in ("train", "test"):
        dataset = torchvision.datasets.ImageFolder(os.path.join(data, folder), transform)
        loaders.append(torch.utils.data.DataLoader(dataset, batch_size=batch_size, shuffle=folder == "train"))
    return loaders


def main(args):
    logger.info(f"Hyperparameters: {args}")
    device = torch.device("cuda" if torch.cuda.is_available() and args.use_gpu else "cpu")
    train_loader, test_loader = create_data_loaders(args.data_dir, args.batch_size)
    model = net(len(train_loader.dataset.classes)).to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.fc.parameters(), lr=args.learning_rate)
    model = train(model, train_loader, criterion, optimizer, device, args.epochs)
    test(model, test_loader, criterion, device)
    torch.save(model.state_dict(), os.path.join(args.model_dir, "model.pth"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--learning_rate", type=float, default=0.01)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--use_gpu", type=bool, default=True)  # every text is True, "False" too: on AWS as well
    parser.add_argument("--data_dir", type=str, default=os.environ["SM_CHANNEL_TRAINING"])
    parser.add_argument("--model_dir", type=str, default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--output_dir", type=str, default=os.environ["SM_OUTPUT_DATA_DIR"])
    args, _ = parser.parse_known_args()
    print(json.dumps({"hosts": json.loads(os.environ["SM_HOSTS"]), "python": sys.version.split()[0]}))
    main(args)
